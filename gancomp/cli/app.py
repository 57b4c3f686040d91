"""The application that commands register with, and their common options. Imports no torch."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancomp.errors import GancompError

# The configuration and its checks take most of a second to import: help and misspelt commands answer without them.
if TYPE_CHECKING:
    from gancomp.config.settings import Config


# Read when OpenMP is loaded. Threads that sleep between operations cost a third of the speed; threads that spin for
# long make two processes on the same cores many times slower than one. Spinning for tens of microseconds avoids both.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    builder: Annotated[
        list[str] | None,
        typer.Option(help="package.module:function that may be run to build a custom generator; repeatable"),
    ] = None,
) -> None:
    """Compress conditional GANs: every stage turns files into files. Plain `snakemake` runs them all in order."""
    from gancomp.builders import allow

    for reference in builder or ():
        allow(reference)


class Device(StrEnum):
    """The device that networks run on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Direction(StrEnum):
    """Which side of a pair is the input."""

    AtoB = "AtoB"
    BtoA = "BtoA"


ExperimentName = Annotated[str, typer.Argument(help="an experiment of the configuration")]
DatasetName = Annotated[str, typer.Argument(help="a data set of the configuration")]
ConfigFiles = Annotated[
    list[Path] | None, typer.Option("--configfile", help="YAML file, repeatable; later files override earlier ones")
]
Overrides = Annotated[str, typer.Option("--set", help='JSON that overrides the files, such as \'{"run": ["emoji"]}\'')]
Expect = Annotated[str, typer.Option(help="raise an error unless the stage's settings have this signature")]
DevicesOption = Annotated[
    int | None, typer.Option(min=1, max=64, help="split every batch over this many; default: the configuration's")
]
MinutesOption = Annotated[float | None, typer.Option(min=0.1, help="a job's time limit: save and stop before it")]
DeviceOption = Annotated[Device, typer.Option(help="device for networks; auto: a GPU if there is one")]


def read_config(configfiles: list[Path] | None, overrides: str) -> Config:
    """The configuration that the options name; default `config.yaml`."""
    from gancomp.config.loading import load

    try:
        data = json.loads(overrides)
    except json.JSONDecodeError as error:
        raise GancompError(f"--set {overrides}: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise GancompError(f"--set {overrides}: expected a JSON object")
    return load(configfiles or [Path("config.yaml")], data)


def stage_config(experiment: str, stage: str, configfiles: list[Path] | None, overrides: str, expect: str) -> Config:
    """The configuration for one stage, checked against what the workflow planned."""
    from gancomp.pipeline.signatures import signature

    config = read_config(configfiles, overrides)
    known_experiment(config, experiment)
    if expect and expect != signature(config, experiment, stage):
        raise GancompError(
            f"{experiment} {stage}: the configuration changed since the workflow was planned; run snakemake again"
        )
    return config


def known_experiment(config: Config, experiment: str) -> None:
    if experiment not in config.experiments:
        raise GancompError(f"no experiment {experiment!r}; there are: {', '.join(config.experiments) or 'none'}")


# --- training ----------------------------------------------------------------------------------


def end_of(minutes: float | None) -> float | None:
    """The end of *minutes* from now, or of the current Slurm job if earlier, in `time.monotonic()`."""
    if minutes is None:
        return None
    seconds = 60 * minutes
    job_end = os.environ.get("SLURM_JOB_END_TIME", "")  # in wall-clock time; the job began before this process
    if job_end.isdigit():
        seconds = min(seconds, int(job_end) - time.time())
    return time.monotonic() + seconds


def experiment_config(experiment: str, configfile: list[Path] | None, set_: str) -> Config:
    config = read_config(configfile, set_)
    known_experiment(config, experiment)
    return config


# --- commands that take the same options -------------------------------------------------------


def experiment_command(name: str, target: str, doc: str) -> None:
    """Register *name*: it calls *target* (`module:function`) with the configuration and an experiment."""

    def command(experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
        config = experiment_config(experiment, configfile, set_)
        _function(target)(config, experiment)

    app.command(name, help=doc)(command)


def scoring_command(name: str, stage: str, target: str, doc: str) -> None:
    """Register *name*, which needs what *stage* depends on: it calls *target* with the device, too."""

    def command(
        experiment: ExperimentName,
        configfile: ConfigFiles = None,
        set_: Overrides = "{}",
        expect: Expect = "",
        device: DeviceOption = Device.auto,
    ) -> None:
        config = stage_config(experiment, stage, configfile, set_, expect)
        _function(target)(config, experiment, device.value)

    app.command(name, help=doc)(command)


def _function(target: str) -> Callable[..., None]:
    """*target*, imported once its command runs, since most of them import torch."""
    module, _, name = target.partition(":")
    function: Callable[..., None] = getattr(import_module(module), name)
    return function
