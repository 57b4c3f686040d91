"""One command from a trained generator and a folder of pictures to a compressed generator: `gancomp compress`.

It writes a configuration, which can be read and run by hand as any other, and calls the workflow.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from gancomp.compression.experiment import (
    checked_config,
    configuration_text,
    discriminator_settings,
    network_settings,
    stage_sections,
    usual_epochs,
    write_configuration,
)
from gancomp.compression.imported import builder_of, check_findable, imported, is_builder, write_weights
from gancomp.compression.pictures import Direction, Pictures, pictures_in
from gancomp.compression.space import search_method, search_space
from gancomp.compression.telling import closing, summary
from gancomp.compression.workflow import planned_jobs, run_snakemake
from gancomp.config.checks import spec_of
from gancomp.config.settings import Config
from gancomp.convert.discriminators import detect_discriminator
from gancomp.convert.generators import load_original, ranges_of
from gancomp.convert.sample import check_sample
from gancomp.convert.telling import assumed
from gancomp.data.build import check
from gancomp.errors import GancompError
from gancomp.measure.cost import estimate, refuse_without_room
from gancomp.pipeline import paths
from gancomp.pipeline.checkpoints import is_own
from gancomp.spec import GeneratorSpec, Norm, Statistics, Upsampling


def compress(
    generator: Path | str | nn.Module,
    data: Path | str,
    budget: str = "10x",
    *,
    weights: Path | None = None,
    builder: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    channels: int | None = None,
    name: str | None = None,
    discriminator: Path | None = None,
    size: tuple[int, int] | None = None,
    upsampling: Upsampling | None = None,
    norm: Norm | None = None,
    statistics: Statistics | None = None,
    key: str | None = None,
    sample: tuple[Path, Path] | None = None,
    direction: Direction = "AtoB",
    epochs: int | None = None,
    cores: int | None = None,
    dry_run: bool = False,
) -> None:
    """Compress *generator* on the pictures of *data* (see LAYOUTS).

    *generator* is a checkpoint that gancomp reads; or a module; or the function `package.module:function`
    that builds it from *arguments* (JSON), and *weights* its state dict. For a module, *builder* is that function
    (default: its class), because the workflow's stages are separate processes that build it again. *channels* are
    those of its input, if its first convolution does not show them.

    Writes NAME.yaml into the current folder, runs the workflow on it, and prints where the compressed generator and its
    report are. After an interruption the same command continues; with *dry_run* it only prints what it would do, and
    the cost of each stage on this machine. *epochs* are those of distillation and fine-tuning; the once-for-all network
    trains twice as long. *key* names the generator in a checkpoint of several networks, *sample* an input and the
    original's output (`check_sample`). Raises GancompError, before anything but a module's weights is written, for an
    unknown checkpoint, discriminator or folder, pictures that make no data set, a budget that no subnet meets and an
    existing NAME.yaml with other content; and when the workflow stops, with the error of the stage that failed.
    """
    data = Path(data)
    name = name or re.sub(r"[^A-Za-z0-9._-]", "_", f"{data.resolve().name}-{budget}").lstrip("._-")
    checkpoint, builder = _source(generator, weights, builder, arguments or {}, name)
    weights = checkpoint if builder else weights
    options: Any = {"size": size, "upsampling": upsampling, "norm": norm, "statistics": statistics, "key": key}
    spec, _ = imported(builder or checkpoint, weights, arguments, channels, **options)
    pictures = pictures_in(data, spec, direction)
    shape = detect_discriminator(discriminator)[0] if discriminator else None
    declared = discriminator_settings(pictures.model, spec, shape)
    networks = network_settings(checkpoint, key, spec, statistics, discriminator, declared)
    title = f"{builder or checkpoint.name}, {budget} on {data.name}"
    settings = _settings(name, title, pictures, networks, spec, budget, epochs or usual_epochs(pictures.count))
    keys = {"input": "range", "target": "target_range"}
    for role, found in ranges_of(checkpoint).items():
        settings["datasets"][name][keys[role]] = [found.low, found.high]
    config = checked_config(settings, name)
    original = load_original(checkpoint, spec_of(config.experiments[name], config.datasets[name], "original"), key=key)
    if sample:
        check_sample(original, *sample, assumed(spec))
    check(name, config.datasets[name], paths.dataset(name), paths.DOWNLOADS)
    print(summary(config, name, pictures))
    if not is_own(checkpoint):
        print("\n".join(f"  assumed        {line}" for line in assumed(spec)))
    if dry_run:
        _print_plan(settings, config, name, spec, cores)
        return
    refuse_without_room(config, name)
    run_snakemake(write_configuration(settings, name, spec, Path()), cores)
    print(closing(config, name))


def _source(
    generator: Path | str | nn.Module,
    weights: Path | None,
    builder: str | None,
    arguments: Mapping[str, Any],
    name: str,
) -> tuple[Path, str | None]:
    """The file of the generator's weights, which a module's are written to, and the function that builds it, if any."""
    if isinstance(generator, nn.Module):
        builder = builder or builder_of(generator, arguments)
        weights = write_weights(Path(f"{name}.weights.safetensors"), generator)
    elif is_builder(generator):
        builder = str(generator)
    if builder and weights is None:
        raise GancompError(f"{builder}: builds an untrained network; name its state dict by --weights")
    if builder:
        check_findable(builder)
    return weights or Path(str(generator)), builder


def _settings(
    name: str,
    title: str,
    pictures: Pictures,
    networks: dict[str, Any],
    spec: GeneratorSpec,
    budget: str,
    epochs: int,
) -> dict[str, Any]:
    """The configuration: one data set and one experiment, both called *name*."""
    space = search_space(spec, budget)
    experiment = {
        "title": title,
        "model": pictures.model,
        "dataset": name,
        **networks,
        **stage_sections(pictures, spec, space, epochs),
        "search": {"budget": budget, "shards": 8, **search_method(space)},
    }
    return {"run": [name], "datasets": {name: dict(pictures.declared)}, "experiments": {name: experiment}}


def _print_plan(settings: dict[str, Any], config: Config, name: str, spec: GeneratorSpec, cores: int | None) -> None:
    """The configuration, the jobs and their cost; writes nothing that stays."""
    print(f"\nwould write {name}.yaml:\n\n{configuration_text(settings, name, Path())}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        written = write_configuration(settings, name, spec, Path(folder))
        print(planned_jobs(written, cores), end="\n\n")
    print(estimate(config, name))
