"""A network's forward pass as the list of the torch functions that it calls, read by running it once.

Functions are recorded at the level at which modules call them (`conv2d`, `batch_norm`, `cat`, `add`), so `forward` may
contain any Python. (`torch.export` writes channel numbers into its reshapes, and `torch.fx` does not support
control flow.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor returned by a call, or the network's input; an in-place call creates a new value of the same tensor."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Weight:
    """A parameter or a buffer, by its name in the network."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Constant:
    """Any other tensor, which the network has as a plain attribute."""

    shape: tuple[int, ...]


@dataclass(eq=False)
class Call:
    """One call: *name* is the function's without underscores, *module* that of the innermost module which calls it.

    *args* and *kwargs* contain Value, Weight and Constant in place of tensors. *outputs* are the values that it
    returned, none for functions that return numbers (`size`, `shape`). *target* is the value that it overwrote, if any.
    """

    name: str
    module: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: list[Value] = field(default_factory=list)
    target: Value | None = None

    @property
    def place(self) -> str:
        """The function and its module, for messages."""
        return f"{self.name} in {self.module}" if self.module else self.name

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument that may be passed by position or by name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    def inputs(self) -> list[Any]:
        """The tensors among the arguments."""
        return [leaf for leaf in tree_leaves((self.args, self.kwargs)) if isinstance(leaf, (Value, Weight, Constant))]


class Tape(TorchFunctionMode):
    """Records every call made within the block; `calls` in order of execution.

    *network* gives the names of weights and modules. `modules` has, by name, the values that each module returned
    (in its last call). On the meta device this takes no memory and hardly any time.
    """

    def __init__(self, network: nn.Module, *inputs: Tensor) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.modules: dict[str, list[Value]] = {}
        self.storages: dict[Value, int] = {}
        self._network = network
        self._names = {module: name for name, module in network.named_modules()}
        self._stack: list[str] = [""]
        # Ids are of living tensors alone, so whatever was named is kept.
        self._kept: list[Any] = []
        self._known: dict[int, Value | Weight] = {}
        for name, tensor in network.state_dict(keep_vars=True).items():
            self._known[id(tensor)] = Weight(name, tuple(tensor.shape))
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            self._known.setdefault(id(tensor), Weight(name, tuple(tensor.shape)))
        self.inputs = [self._made(tensor) for tensor in inputs]

    def _made(self, tensor: Tensor) -> Value:
        value = Value(tuple(tensor.shape))
        self._kept.append(tensor)
        self._known[id(tensor)] = value
        self.storages[value] = tensor.untyped_storage()._cdata
        return value

    def _named(self, tensor: Tensor) -> Value | Weight | Constant:
        known = self._known.get(id(tensor))
        return known if known is not None else Constant(tuple(tensor.shape))

    def values_of(self, output: Any) -> list[Value]:
        """The values among what the network returned."""
        named = [self._named(leaf) for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        return [value for value in named if isinstance(value, Value)]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        named_args, named_kwargs = tree_map_only(Tensor, self._named, (args, kwargs))
        call = Call(func.__name__.strip("_"), self._stack[-1], tuple(named_args), named_kwargs)
        self.calls.append(call)
        before = {id(leaf): self._named(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        out = func(*args, **kwargs)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                overwritten = before.get(id(leaf))
                if isinstance(overwritten, Weight):  # `num_batches_tracked.add_(1)` makes nothing that flows on
                    continue
                call.target = overwritten if isinstance(overwritten, Value) else call.target
                call.outputs.append(self._made(leaf))
        return out

    @contextmanager
    def recording(self) -> Iterator[Tape]:
        """Record the calls of the block, with the modules that make them."""

        def enter(module: nn.Module, _: Any) -> None:
            self._stack.append(self._names.get(module, self._stack[-1]))

        def leave(module: nn.Module, _: Any, output: Any) -> None:
            self._stack.pop()
            if module in self._names:
                self.modules[self._names[module]] = self.values_of(output)

        hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
        try:
            with self:
                yield self
        finally:
            for hook in hooks:
                hook.remove()


@torch.no_grad()
def record(network: nn.Module, *inputs: Tensor) -> tuple[Tape, list[Value]]:
    """The tape of one forward pass of *network*, and the values that it returned."""
    tape = Tape(network, *inputs)
    with tape.recording():
        output = network(*inputs)
    return tape, tape.values_of(output)
