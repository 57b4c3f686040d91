"""The tree walk: subnets that agree in their first widths share the activations of their first segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from gancomp.elastic.slicing import extract
from gancomp.elastic.space import Subnet, Widths
from gancomp.nets.generator import Generator


class TreeWalk:
    """Runs the subnets of *whole* over pictures, depth first, holding one activation a segment.

    Neighbours in tree order differ in their last widths, so most of each forward pass is done already.
    """

    def __init__(self, whole: Generator) -> None:
        self._whole = whole
        self._runners: dict[tuple[int, Widths], Generator] = {}
        # A segment's output depends on its own widths and on those of all segments before it.
        needed = 0
        self._prefix = [needed := max(needed, *(index + 1 for index in segment.widths)) for segment in whole.segments]

    def __call__(self, subnets: Sequence[Subnet], x: Tensor) -> Iterator[tuple[Subnet, Tensor]]:
        """Each subnet, in the order given, with its pictures for the batch *x*."""
        outputs: list[Tensor] = []
        previous: Widths = ()
        for subnet in subnets:
            del outputs[self._shared(previous, subnet.widths) :]
            for index in range(len(outputs), len(self._whole.segments)):
                before = outputs[-1] if outputs else x
                outputs.append(self._runner(index, subnet.widths).run_segment(index, before))
            previous = subnet.widths
            yield subnet, outputs[-1]

    def _shared(self, previous: Widths, widths: Widths) -> int:
        """How many leading segments the two subnets have in common."""
        return sum(previous[:length] == widths[:length] for length in self._prefix) if previous else 0

    def _runner(self, index: int, widths: Widths) -> Generator:
        """A subnet that has segment *index* at these widths; its other segments do not matter."""
        key = (index, tuple(widths[position] for position in self._whole.segments[index].widths))
        if key not in self._runners:
            self._runners[key] = extract(self._whole, widths)
        return self._runners[key]
