"""The cost of a stage from the passes of its networks, and the MACs that subnets share in the search."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gancomp.elastic.space import Subnet
from gancomp.measure.macs import macs_by_layer, profile
from gancomp.measure.speed import Speed
from gancomp.search.candidates import GROUP
from gancomp.spec import GeneratorSpec

#: Times are told as a range: by so much less, and by so much more.
UNCERTAINTY = 1.5
#: Of a job: to start Python, to import torch, to read pictures and to write what was made.
JOB_SECONDS, JOB_BYTES = 8.0, 750e6
#: Bytes a parameter: a checkpoint, a resume state (with Adam's two moments), and a network in training (gradients too).
SAVED, RESUMED, TRAINING = 4, 12, 16


@dataclass(frozen=True)
class Pass:
    """What one picture costs in one network: the MACs of a pass, how many (a backward pass is two), whether it learns,
    and of how many of them the activations are held at once."""

    network: str
    macs: float
    params: int
    times: float
    trained: bool = False
    held: float = 0


@dataclass(frozen=True)
class Cost:
    """A stage: the pictures that pass through its networks, and what each one costs. `about` says what else it is."""

    stage: str
    images: int = 0
    passes: tuple[Pass, ...] = ()
    epochs: float = 0
    steps: int = 0
    batch: int = 0
    disk: float = 0
    memory: float = 0
    about: str = ""

    @property
    def macs(self) -> float:
        """Of one picture."""
        return sum(one.macs * one.times for one in self.passes)

    @property
    def total(self) -> float:
        """MACs of the stage."""
        return self.macs * self.images

    def seconds(self, speeds: Mapping[str, Speed]) -> float:
        """On the machine that *speeds*, by network, were measured on."""
        a_picture = sum(one.macs * one.times * speeds[one.network].seconds for one in self.passes)
        return JOB_SECONDS + self.images * a_picture

    def held(self, speeds: Mapping[str, Speed]) -> float:
        """Bytes of memory, roughly: the process, weights with what trains them, activations, and `memory`."""
        weights = sum(one.params * (TRAINING if one.trained else SAVED) for one in self.passes)
        activations = sum(one.held * speeds[one.network].activations for one in self.passes)
        return JOB_BYTES + self.memory + weights + self.batch * activations


def shared_macs(subnets: Sequence[Subnet], student: GeneratorSpec) -> float:
    """The mean MACs of a subnet on a picture when those of a group share what depends on their first widths alone, as
    the search runs."""
    widths = np.array([subnet.widths for subnet in subnets])
    total = 0
    for macs, needed in zip(macs_by_layer(student, widths), _prefixes(student), strict=True):
        anew = np.arange(len(widths)) % GROUP == 0
        anew[1:] |= (widths[1:, :needed] != widths[:-1, :needed]).any(axis=1)
        total += int(macs[anew].sum())
    return total / len(subnets)


def _prefixes(student: GeneratorSpec) -> list[int]:
    """How many of the first widths each layer's output depends on: its own, and those of the layers before it.

    Its own are found by changing one width at a time.
    """
    largest, smallest = student.widths, (1,) * len(student.widths)
    own = [0] * len(profile(student).layers)
    for base, other in ((largest, smallest), (smallest, largest)):
        before = profile(student.with_widths(base)).layers
        for at in range(len(base)):
            after = profile(student.with_widths((*base[:at], other[at], *base[at + 1 :]))).layers
            changed = (a.params != b.params or a.macs_paper != b.macs_paper for a, b in zip(before, after, strict=True))
            own = [max(known, at + 1) if new else known for known, new in zip(own, changed, strict=True)]
    return list(itertools.accumulate(own, max))
