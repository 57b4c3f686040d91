"""The budget of MACs, and how the best subnet under it is sought: the section `search`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from gancomp.config.strict import Strict
from gancomp.measure.macs import profile
from gancomp.spec import (
    GeneratorSpec,
    PositiveInt,
    Widths,
)

#: Devices of each runtime on which subnets can be timed.
DEVICES: dict[str, tuple[str, ...]] = {
    "openvino": ("cpu", "gpu", "npu"),
    "onnxruntime": ("cpu",),
    "pytorch": ("cpu", "cuda"),
}


def parse_budget(text: str) -> tuple[Literal["reduction", "macs"], float]:
    """`10x` → ("reduction", 10.0), ten times fewer MACs than the original; `5.7G` → ("macs", 5.7e9)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([xkMG])", text.strip())
    if not match or float(match[1]) <= 0:
        raise ValueError(f"budget {text!r}: expected a reduction such as 10x, or MACs such as 5.7G or 300M")
    value, unit = float(match[1]), match[2]
    if unit == "x":
        return "reduction", value
    return "macs", value * {"k": 1e3, "M": 1e6, "G": 1e9}[unit]


def budget_macs(budget: str, original: GeneratorSpec) -> float:
    """The exact MACs that *budget* allows a subnet, given the original that `10x` refers to."""
    kind, value = parse_budget(budget)
    return value if kind == "macs" else profile(original).macs / value


def checked_budget(text: str) -> str:
    parse_budget(text)
    return text


class Evolution(Strict):
    """Evolution of subnets, for spaces that cannot be walked; the defaults suit tens of thousands of subnets."""

    population: PositiveInt = Field(100, description="subnets of a generation")
    parents: PositiveInt = Field(25, description="the best so far, of which the next generation is made")
    mutants: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="share of mutants; the rest is crossed")
    mutation_rate: Annotated[float, Field(gt=0, le=1)] = Field(0.2, description="share of a mutant's widths drawn anew")
    generations: Annotated[int, Field(ge=0, le=100_000)] = 20


class Halving(Strict):
    """Successive halving over pictures: all subnets are scored on few, the best of them on more, the last ones on all.

    The pictures scored are rounds / factor^(rounds - 1) of those of an exhaustive search: half by default.
    """

    rounds: Annotated[int, Field(ge=2, le=10)] = Field(2, description="the last one scores on all pictures")
    factor: Annotated[int, Field(ge=2, le=100)] = Field(
        4, description="of the subnets of a round the best 1/factor go on, to factor times as many pictures"
    )

    @property
    def strides(self) -> list[int]:
        """Of how many pictures each round scores one."""
        return [self.factor**left for left in reversed(range(self.rounds))]


class Latency(Strict):
    """Latency on the runtime that deploys, or from a table of another device (`gancomp subnet-latency --kit`)."""

    runtime: str = Field(
        "openvino", description="openvino, onnxruntime, pytorch, or a table of another device's times (a .csv)"
    )
    device: str = Field(
        "cpu", description="cpu; also gpu and npu of openvino, cuda of pytorch; of a table any name, for the record"
    )
    limit_ms: Annotated[float, Field(gt=0)] | None = Field(
        None, description="besides the budget, at most this many ms a picture"
    )

    @property
    def table(self) -> bool:
        """Whether the times come from a file."""
        return self.runtime.endswith(".csv")

    @model_validator(mode="after")
    def _known(self) -> Latency:
        if self.table:
            return self
        if self.runtime not in DEVICES:
            raise ValueError(
                f"runtime {self.runtime!r}: expected one of {', '.join(DEVICES)}, or a table that ends in .csv"
            )
        if self.device not in DEVICES[self.runtime]:
            raise ValueError(
                f"device {self.device!r}: {self.runtime} is measured on one of {', '.join(DEVICES[self.runtime])}"
            )
        return self


class Search(Strict):
    """Search of the best subnet under the budget (Section 3.3)."""

    budget: Annotated[str, AfterValidator(checked_budget)] = Field(
        "10x", description="exact MACs a subnet may have: 10x fewer than the original, or 5.7G"
    )
    images: PositiveInt = Field(2048, description="at most this many pictures of train-2 score a subnet")
    shards: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1, description="independent jobs; the result does not depend on it"
    )
    chunk: PositiveInt = Field(32, description="pictures that run through the network together")
    scored: Annotated[str, AfterValidator(checked_budget)] | None = Field(
        None, description="score subnets up to here, where it is more than the budget: several budgets share the scores"
    )
    at_least: Annotated[str, AfterValidator(checked_budget)] | None = Field(
        None, description="exact MACs that a subnet must have, as a budget is given: chooses within a window"
    )
    bootstrap: Annotated[int, Field(ge=0, le=10_000)] = Field(
        100, description="draws of the pictures that tell how sure each score is; 0: none"
    )
    method: Literal["exhaustive", "halving", "evolution"] = Field(
        "exhaustive",
        description="score every subnet on all pictures, or only the best so far on all, or evolve subnets where there "
        "are too many",
    )
    halving: Halving = Halving()
    evolution: Evolution = Evolution()
    ties: Literal["fewest-macs", "fastest", "best"] = Field(
        "fewest-macs",
        description="of the subnets that cannot be told from the best, the one with the fewest MACs, or the least "
        "latency (openvino's on this machine, unless latency names another)",
    )
    winner: Widths | None = Field(
        None,
        description="the subnet to take in place of the best, such as 24_16_16_8_8_16_24_16: one that was scored",
    )
    latency: Latency | None = Field(None, description="where latency counts, and how much a subnet may take there")

    @property
    def asks_latency(self) -> bool:
        """Whether the winner depends on measured latency."""
        return self.latency is not None or self.ties == "fastest"

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, data: Any) -> Any:
        if isinstance(data, dict) and "latency_ms" in data:
            limit = data["latency_ms"]
            raise ValueError(f"latency_ms is now latency: write latency: {{runtime: pytorch, limit_ms: {limit}}}")
        return data
