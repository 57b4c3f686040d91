"""The whole configuration: data sets, experiments, studies and comparisons. Imports no torch."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import (
    Field,
    model_validator,
)

from gancomp.config.checks import check_model, check_widths
from gancomp.config.experiment import Experiment
from gancomp.config.strict import Strict
from gancomp.config.values import NAME_PATTERN, Precision
from gancomp.data.settings import (
    Dataset,
)
from gancomp.errors import did_you_mean

#: Folders beside the data sets.
RESERVED_DATASET_NAMES = {"downloads", "inception", "logs", "lpips", "perceptual"}


class Study(Strict):
    """The experiments that represent the paper's models and data sets in its tables and figures, at one scale."""

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    title: str = ""
    experiments: dict[str, str] = Field(
        default_factory=dict, description="the experiment for each of the paper's, such as edges2shoes: emoji-laptop"
    )


class Comparison(Strict):
    """Methods side by side, each at several sizes (`snakemake comparison`)."""

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    title: str = ""
    original: str = Field(
        description="the generator that all are compared with, EXPERIMENT:STAGE, such as fluent:original"
    )
    methods: dict[str, tuple[str | None, ...]] = Field(
        min_length=1,
        description="for each method its experiments and their stage, one per size, the largest first; null where it "
        "has none. Every method is tested against the first one at the same size",
    )

    @model_validator(mode="after")
    def _same_sizes(self) -> Comparison:
        counts = {method: len(places) for method, places in self.methods.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{method} {count}" for method, count in counts.items())
            raise ValueError(f"methods: need as many sizes each (null where a method has none), not {told}")
        return self

    @property
    def places(self) -> list[str]:
        """The original and every method at every size."""
        return [self.original, *(place for places in self.methods.values() for place in places if place)]


class Samples(Strict):
    """Samples during training: outputs for the same validation pictures at regular intervals."""

    every: Annotated[int, Field(ge=0)] | None = Field(
        None, description="steps between two samples; 0: none; a twentieth of the training if unset"
    )
    pictures: Annotated[int, Field(ge=1, le=12)] = Field(6, description="number of pictures; the grids show them, too")


class Config(Strict):
    """The whole configuration, as `config.yaml` writes it."""

    run: tuple[str, ...] = Field((), description="experiments that plain `snakemake` runs")
    devices: int = Field(
        1, ge=1, le=64, description="GPUs of one machine over which each training is spread (its batch is split)"
    )
    samples: Samples = Samples()
    study: Study | None = Field(None, description="the experiments behind `snakemake paper`")
    comparison: Comparison | None = Field(None, description="the experiments behind `snakemake comparison`")
    datasets: dict[str, Dataset] = Field(default_factory=dict)
    experiments: dict[str, Experiment] = Field(default_factory=dict)

    def precisions_of(self, dataset: str) -> list[Precision]:
        """The precisions in which the experiments on *dataset* are scored; `auto` if there are none."""
        return sorted({e.precision for e in self.experiments.values() if e.dataset == dataset}) or ["auto"]

    def clean_precisions_of(self, dataset: str) -> list[Precision]:
        """Those in which FID is measured with clean-fid's resizing, too."""
        return sorted({e.precision for e in self.experiments.values() if e.dataset == dataset and e.fid_clean})

    @model_validator(mode="after")
    def _names_resolve(self) -> Config:
        for kind, names in (("datasets", self.datasets), ("experiments", self.experiments)):
            for name in names:
                if not re.fullmatch(NAME_PATTERN, name):
                    raise ValueError(
                        f"{kind}.{name}: a name may contain letters, digits, '.', '_' and '-', and starts with "
                        "a letter or digit"
                    )
        for name in sorted(self.datasets.keys() & RESERVED_DATASET_NAMES):
            raise ValueError(f"datasets.{name}: data/{name} is used for something else; choose another name")
        for name in self.run:
            if name not in self.experiments:
                raise ValueError(f"run: no experiment {name!r}{did_you_mean(name, self.experiments)}")
        for role, name in self.study.experiments.items() if self.study else ():
            if name not in self.experiments:
                raise ValueError(
                    f"study.experiments.{role}: no experiment {name!r}{did_you_mean(name, self.experiments)}"
                )
        for name, experiment in self.experiments.items():
            where = f"experiments.{name}"
            if experiment.dataset not in self.datasets:
                raise ValueError(
                    f"{where}.dataset: no data set {experiment.dataset!r}"
                    f"{did_you_mean(experiment.dataset, self.datasets)}"
                )
            check_model(where, experiment, self.datasets[experiment.dataset])
            check_widths(where, experiment, self.datasets[experiment.dataset])
        return self
