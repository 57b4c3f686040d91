"""The tree walk: subnets that agree in their first widths share the activations of their first segments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from gancomp.elastic.calibrate import estimating, has_batch_statistics
from gancomp.elastic.slicing import extract
from gancomp.elastic.space import Subnet, Widths
from gancomp.nets.generator import Generator, State

#: A segment's place, and the widths that its output depends on: its own and those of all segments before it.
Node = tuple[int, Widths]
#: Batches of inputs, or what makes them anew each time that it is called.
Batches = Sequence[Tensor] | Callable[[], Iterable[Tensor]]


class TreeWalk:
    """Runs the subnets of *whole* over pictures, depth first, holding one activation a segment.

    Neighbours in tree order differ in their last widths, so most of each forward pass is done already.

    Where the network has BatchNorm, the statistics of each subnet are first estimated anew over *calibration*, batches
    of encoded inputs on the network's device, once for each group of subnets. They are shared like the activations: a
    segment's statistics depend on the same widths as its output. What comes out equals, for each subnet,
    `extract`, `calibrate` and a forward pass in evaluation mode; it does not depend on the grouping.
    """

    def __init__(self, whole: Generator, calibration: Batches = ()) -> None:
        self._whole = whole
        self._calibration = calibration
        self._statistics = has_batch_statistics(whole)
        # Subnets cut out of the whole, by what they run: a segment at its widths where nothing else matters, a node
        # of the current group where statistics belong to it.
        self._runners: dict[Node, Generator] = {}
        self._group: list[Widths] = []
        needed = 0
        self._prefix = [needed := max(needed, *(index + 1 for index in segment.widths)) for segment in whole.segments]

    def __call__(self, subnets: Sequence[Subnet], x: Tensor) -> Iterator[tuple[Subnet, Tensor]]:
        """Each subnet, in the order given, with its pictures for the batch *x* of encoded inputs.

        Raises ValueError if statistics must be estimated and there is no batch to do it.
        """
        if self._statistics:
            self._calibrate([subnet.widths for subnet in subnets])
        yield from zip(subnets, self._walk([subnet.widths for subnet in subnets], x), strict=True)

    def _walk(self, group: Sequence[Widths], x: Tensor) -> Iterator[Tensor]:
        """The pictures of each subnet."""
        states: list[State] = []
        previous: Widths = ()
        for widths in group:
            del states[self._shared(previous, widths) :]
            for index in range(len(states), len(self._whole.segments)):
                before = states[-1] if states else x
                states.append(self._runner(index, widths).run_segment(index, before))
            previous = widths
            yield states[-1]

    def _shared(self, previous: Widths, widths: Widths) -> int:
        """How many leading segments the two subnets have in common."""
        return sum(previous[:length] == widths[:length] for length in self._prefix) if previous else 0

    def _runner(self, index: int, widths: Widths) -> Generator:
        """A subnet that has segment *index* at these widths, with this node's statistics; its others do not matter."""
        if self._statistics:
            return self._runners[index, widths[: self._prefix[index]]]
        key = (index, tuple(widths[position] for position in self._whole.segments[index].widths))
        if key not in self._runners:
            self._runners[key] = extract(self._whole, widths)
        return self._runners[key]

    @torch.no_grad()
    def _calibrate(self, group: list[Widths]) -> None:
        """Estimate the statistics of every node of *group*; done already for all batches but the first."""
        if group == self._group:
            return
        self._group = []
        ordered = sorted(set(group))  # so that each node runs once a batch
        owners = {widths: extract(self._whole, widths) for widths in ordered}
        self._runners = {
            (index, widths[:length]): owners[widths] for widths in ordered for index, length in enumerate(self._prefix)
        }
        batches = self._calibration() if callable(self._calibration) else self._calibration
        seen = 0
        with ExitStack() as stack:
            for owner in owners.values():
                stack.enter_context(estimating(owner))
            for batch in batches:
                for _ in self._walk(ordered, batch):
                    pass
                seen += 1
        if ordered and not seen:
            raise ValueError("no batch to estimate BatchNorm's statistics from")
        self._group = group
