"""Weights of metrics from folders that the configuration names; they are never downloaded. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancomp.errors import GancompError
from gancomp.pipeline.files import file_sha256

if TYPE_CHECKING:
    from gancomp.config.settings import Config

#: Metrics that compare features of many pictures; those of the real ones are kept with the data set.
OF_FEATURES = ("fd_dinov2", "cmmd")


@dataclass(frozen=True)
class Needed:
    """The files in the folder of a metric, each with its possible names; the first existing one is read."""

    files: tuple[tuple[str, ...], ...]
    source: str
    #: What its config.json may say that it is.
    kinds: tuple[str, ...] = ()


#: As repositories of the Hugging Face Hub are laid out. Of a `.bin` only the tensors are read, no code in it runs.
_OF_THE_HUB = (("config.json",), ("model.safetensors", "pytorch_model.bin"))
NEEDED: dict[str, Needed] = {
    "dists": Needed(
        (("vgg16.safetensors", "vgg16-397923af.pth"), ("weights.safetensors", "weights.pt")),
        "torchvision's VGG16 (vgg16-397923af.pth) and weights.pt of DISTS's authors",
    ),
    "fd_dinov2": Needed(_OF_THE_HUB, "facebook/dinov2-large (or -base, -small) of the Hugging Face Hub", ("dinov2",)),
    "cmmd": Needed(
        _OF_THE_HUB,
        "openai/clip-vit-large-patch14-336 of the Hugging Face Hub",
        ("clip", "clip_vision_model"),
    ),
}


@dataclass(frozen=True)
class Given:
    """The weights of *metric* in *folder*, as *key* of the configuration names it; *files* in the order of `NEEDED`."""

    key: str
    metric: str
    folder: Path
    files: tuple[Path, ...]

    @cached_property
    def sha256(self) -> dict[str, str]:
        """The SHA-256 of each file that is read, by name."""
        return {file.name: file_sha256(file) for file in self.files}

    @property
    def short_hash(self) -> str:
        """The first twelve digits of each hash, for the key of cached features."""
        return "-".join(digest[:12] for digest in self.sha256.values())

    def settings(self) -> dict[str, Any]:
        """The content of config.json. Raises GancompError if it describes a network that the metric does not use."""
        try:
            settings = json.loads(self.files[0].read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise self.fault(f"{self.files[0]}: not readable as JSON ({error})") from None
        kind, kinds = settings.get("model_type") if isinstance(settings, dict) else None, NEEDED[self.metric].kinds
        if kind not in kinds:
            raise self.fault(f"{self.files[0]}: its model_type is {kind!r}, not {' or '.join(map(repr, kinds))}")
        return dict(settings)

    def fault(self, why: object) -> GancompError:
        """The error for a file that the metric cannot use; *why* names it."""
        return GancompError(f"{self.key}: {why}; {_mend(self.metric)}")


def find_given(experiment: str, metric: str, folder: str) -> Given:
    """The files of *metric* in *folder*. Raises GancompError, which names the key, if one is missing or wrong."""
    key, place, found = f"experiments.{experiment}.metric_weights.{metric}", Path(folder), []
    for names in NEEDED[metric].files:
        there = [file for name in names if (file := place / name).is_file()]
        if not there:
            raise GancompError(f"{key}: {place}: no file {' or '.join(names)} there; {_mend(metric)}")
        found.append(there[0])
    given = Given(key, metric, place, tuple(found))
    if NEEDED[metric].kinds:
        given.settings()
    return given


def given_weights(config: Config, experiment: str) -> dict[str, Given]:
    """The weights given by *experiment*, by metric. Raises GancompError as `find_given`."""
    folders = config.experiments[experiment].metric_weights.folders
    return {metric: find_given(experiment, metric, folder) for metric, folder in folders.items()}


def given_on(config: Config, dataset: str) -> list[Given]:
    """The weights of feature metrics given by any experiment on *dataset*, each folder once."""
    found = {
        (given.metric, given.folder): given
        for name, experiment in config.experiments.items()
        if experiment.dataset == dataset
        for given in given_weights(config, name).values()
        if given.metric in OF_FEATURES
    }
    return [found[place] for place in sorted(found)]


def _mend(metric: str) -> str:
    return (
        f"metrics fetch no weights: correct the path, put there the files of {NEEDED[metric].source}, or leave "
        f"metric_weights.{metric} out"
    )
