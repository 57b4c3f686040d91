"""The tree walk: subnets with equal first widths share all activations that depend only on those."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from gancomp import ranks
from gancomp.elastic.calibrate import has_batch_statistics
from gancomp.elastic.slicing import extract
from gancomp.elastic.space import Subnet, Widths
from gancomp.elastic.tape import Call, Tape, Value, Weight, record
from gancomp.nets import build_skeleton
from gancomp.nets.generator import Generator
from gancomp.spec import GeneratorSpec

#: Batches of inputs, or a function that returns them, called once per pass.
Batches = Sequence[Tensor] | Callable[[], Iterable[Tensor]]


class Plan:
    """The widths on which each call of a forward pass depends, and the values to keep.

    `prefixes` has, by call, the number of leading widths on which its value depends, directly or through its inputs.
    `kept` has the calls whose values are inputs of a call that depends on more widths: only these are needed again for
    other subnets.
    """

    def __init__(self, spec: GeneratorSpec, tape: Tape, pictures: Sequence[Value]) -> None:
        self.calls = tape.calls
        own = _prefixes_of_weights(spec)
        made = {value: at for at, call in enumerate(tape.calls) for value in call.outputs}
        aliases: dict[int, list[int]] = {}
        for value, at in made.items():
            aliases.setdefault(tape.storages[value], []).append(at)
        self.prefixes = [0] * len(tape.calls)
        changed = True
        while changed:
            changed = False
            for at, call in enumerate(tape.calls):
                needed = [self.prefixes[made[value]] for value in call.inputs() if value in made]
                needed += [own[weight.name] for weight in call.inputs() if isinstance(weight, Weight)]
                # A tensor that is later overwritten in place is recomputed as often as the call that overwrites it.
                places = [at] if call.target is None else [at, *aliases[tape.storages[call.outputs[0]]]]
                for place in places:
                    if max(needed, default=0) > self.prefixes[place]:
                        self.prefixes[place], changed = max(needed), True
        kept = {made[value] for value in pictures if value in made}
        for at, call in enumerate(tape.calls):
            kept |= {
                made[value]
                for value in call.inputs()
                if value in made and self.prefixes[made[value]] < self.prefixes[at]
            }
        # A value and its in-place results and views share one tensor.
        self.kept = {
            other for at in kept for value in tape.calls[at].outputs for other in aliases[tape.storages[value]]
        } | kept

    def of_layer(self, name: str) -> int:
        """The number of leading widths on which a norm's statistics depend."""
        return max(self.prefixes[at] for at, call in enumerate(self.calls) if call.module == name)


def _prefixes_of_weights(spec: GeneratorSpec) -> dict[str, int]:
    """The number of leading widths on which each weight's shape depends, found by changing one width at a time."""

    def shapes(widths: Widths) -> dict[str, torch.Size]:
        return {name: tensor.shape for name, tensor in build_skeleton(spec.with_widths(widths)).state_dict().items()}

    largest, smallest = spec.widths, (1,) * len(spec.widths)
    prefixes: dict[str, int] = {}
    for base, other in ((largest, smallest), (smallest, largest)):
        before = shapes(base)
        for position in range(len(base)):
            after = shapes((*base[:position], other[position], *base[position + 1 :]))
            for name, shape in before.items():
                prefixes[name] = max(prefixes.get(name, 0), position + 1 if after[name] != shape else 0)
    return prefixes


class _Replay(TorchFunctionMode):
    """Run forward passes of one plan; each reuses the values that it shares with the previous one.

    A value that no later pass reuses is kept only as a placeholder of the same shape without memory.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan
        self._values: dict[int, Any] = {}
        self._next = 0
        self._shared = 0

    def run(self, network: nn.Module, x: Tensor, shared: int) -> Tensor:
        """The outputs of *network*, whose first *shared* widths equal those of the previous network."""
        self._next, self._shared = 0, shared
        with self:
            pictures: Tensor = network(x)
        return pictures

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        at, self._next = self._next, self._next + 1
        call: Call = self._plan.calls[at]
        assert call.name == func.__name__.strip("_"), f"{func.__name__} where the plan has {call.name}"
        if not call.outputs:
            return func(*args, **(kwargs or {}))
        if self._plan.prefixes[at] <= self._shared:
            return self._values[at]
        self._values.pop(at, None)  # free memory before the new value is allocated
        out = func(*args, **(kwargs or {}))
        self._values[at] = out if at in self._plan.kept else tree_map_only(Tensor, _placeholder, out)
        return out


def _placeholder(tensor: Tensor) -> Tensor:
    return tensor.new_empty(()).expand(tensor.shape)


class TreeWalk:
    """Run the subnets of *whole* on pictures, depth first, keeping the activations that later subnets need.

    Neighbours in tree order differ in their last widths, so most of each forward pass is already computed. The
    dependence of each call on the widths is read from the network's forward pass (`Plan`).

    If the network has BatchNorm, the statistics of each subnet are first re-estimated over *calibration*, batches
    of encoded inputs on the network's device, once for each group of subnets. They are shared like the activations: a
    norm's statistics depend on the same widths as its output. The outputs equal, for each subnet, those of `extract`,
    `calibrate` and a forward pass in evaluation mode, and do not depend on the grouping.
    """

    def __init__(self, whole: Generator, calibration: Batches = ()) -> None:
        self._whole = whole
        self._calibration = calibration
        self._statistics = has_batch_statistics(whole)
        self._plan: Plan | None = None
        self._subnets: dict[Widths, Generator] = {}
        self._group: list[Widths] = []

    def __call__(self, subnets: Sequence[Subnet], x: Tensor) -> Iterator[tuple[Subnet, Tensor]]:
        """Each subnet, in the given order, with its outputs for the batch *x* of encoded inputs.

        Raises ValueError if statistics must be estimated but *calibration* is empty.
        """
        group = [subnet.widths for subnet in subnets]
        if group != self._group:
            self._prepare(group)
        yield from zip(subnets, self._walk(group, x), strict=True)

    def _prepare(self, group: list[Widths]) -> None:
        """Extract the subnets of *group* from the whole network, and estimate their statistics."""
        self._group = []
        self._subnets = {widths: extract(self._whole, widths) for widths in group}
        if self._statistics:
            self._calibrate(sorted(self._subnets))  # so that each node runs once per batch
        self._group = group

    def _walk(self, group: Sequence[Widths], x: Tensor) -> Iterator[Tensor]:
        """The outputs of each subnet."""
        if not group:
            return
        plan = self._plan = self._plan or plan_of(self._whole.spec)
        replay, previous = _Replay(plan), None
        for widths in group:
            shared = -1 if previous is None else _common(previous, widths)
            previous = widths
            yield replay.run(self._subnets[widths], x, shared)

    @torch.no_grad()
    def _calibrate(self, ordered: list[Widths]) -> None:
        """Estimate the running statistics of the subnets: cumulative averages over the calibration batches.

        Subnets that share a norm's input share its statistics, which the first of them collects.
        """
        plan = self._plan = self._plan or plan_of(self._whole.spec)
        shared: dict[tuple[str, Widths], nn.BatchNorm2d] = {}
        layers: list[nn.BatchNorm2d] = []
        for widths in ordered:
            for name, layer in self._subnets[widths].named_modules():
                if not isinstance(layer, nn.BatchNorm2d):
                    continue
                layer.reset_running_stats()
                owner = shared.setdefault((name, widths[: plan.of_layer(name)]), layer)
                layer.running_mean, layer.running_var = owner.running_mean, owner.running_var
                layer.num_batches_tracked = None  # batches are counted here, for all layers
                layers.append(layer)
        before = [layer.momentum for layer in layers]
        batches = self._calibration() if callable(self._calibration) else self._calibration
        seen = 0
        with ranks.apart():  # all ranks use the same pictures
            for batch in batches:
                seen += 1
                for layer in layers:
                    layer.train()
                    layer.momentum = 1 / seen
                for _ in self._walk(ordered, batch):
                    pass
        if ordered and not seen:
            raise ValueError("no batch to estimate BatchNorm's statistics from")
        for layer, momentum in zip(layers, before, strict=True):
            layer.eval()
            layer.momentum = momentum


def plan_of(spec: GeneratorSpec) -> Plan:
    """The plan of *spec*'s generator, from its forward pass on the meta device."""
    skeleton = build_skeleton(spec).eval()
    for layer in skeleton.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.num_batches_tracked = None
    tape, pictures = record(skeleton, torch.empty(2, spec.in_channels, *spec.size, device="meta"))
    return Plan(spec, tape, pictures)


def _common(previous: Widths, widths: Widths) -> int:
    """The number of leading widths that two subnets have in common."""
    return next((at for at, (a, b) in enumerate(zip(previous, widths, strict=True)) if a != b), len(widths))
