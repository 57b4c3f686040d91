"""Commands for generators of other code, and for costs."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gancomp.cli.app import ConfigFiles, Direction, ExperimentName, Overrides, app, experiment_config
from gancomp.errors import GancompError


class Upsampling(StrEnum):
    """Number of upsamplings by 2 of a SPADE generator: six or five."""

    more = "more"
    normal = "normal"


class NormChoice(StrEnum):
    """A normalisation, for checkpoints whose tensors do not show it."""

    instance = "instance"
    batch = "batch"
    none = "none"


class StatisticsChoice(StrEnum):
    """Statistics of batch norm: running, or each picture's own."""

    running = "running"
    batch = "batch"


NormOption = Annotated[NormChoice | None, typer.Option(help="the norm, if the file does not determine it")]
StatisticsOption = Annotated[
    StatisticsChoice | None, typer.Option(help="statistics of batch norm; batch: as pix2pix's test.py without --eval")
]
SizeOption = Annotated[str | None, typer.Option(help="H or HxW of the pictures, in pixels")]
UpsamplingOption = Annotated[Upsampling | None, typer.Option(help="of a SPADE generator; not in its file")]
KeyOption = Annotated[str | None, typer.Option(help="the entry of the checkpoint, such as netG, if it has several")]
CheckOption = Annotated[
    tuple[Path, Path] | None,
    typer.Option(metavar="INPUT OUTPUT", help="pictures: raise an error unless the generator turns INPUT into OUTPUT"),
]


@app.command()
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="a generator (.pth or .safetensors) of another project")],
    out: Annotated[Path, typer.Argument(help="the .safetensors to write")],
    size: SizeOption = None,
    upsampling: UpsamplingOption = None,
    norm: NormOption = None,
    statistics: StatisticsOption = None,
    key: KeyOption = None,
    check: CheckOption = None,
    discriminator: Annotated[bool, typer.Option("--discriminator", help="the checkpoint is a discriminator")] = False,
) -> None:
    """Convert a checkpoint of other code, read as tensors only, to gancomp's format."""
    shape = _parsed_size(size)
    from gancomp.convert import discriminators, generators
    from gancomp.convert.telling import assumed, describe
    from gancomp.pipeline.checkpoints import is_own

    if discriminator:
        of_generators = {"size": size, "upsampling": upsampling, "norm": norm, "statistics": statistics, "check": check}
        if given := [f"--{name}" for name, value in of_generators.items() if value is not None]:
            raise GancompError(f"{given[0]}: applies to generators; remove it or --discriminator")
        print(f"{out}: {discriminators.convert_discriminator(checkpoint, out, key)}")
    else:
        spec = generators.convert(
            checkpoint,
            out,
            shape,
            upsampling.value if upsampling else None,
            norm.value if norm else None,
            statistics.value if statistics else None,
            key,
            check,
        )
        print(f"{out}: {describe(spec)}")
        if not is_own(checkpoint):
            print("\n".join(f"  assumed        {line}" for line in assumed(spec)))


WeightsOption = Annotated[Path | None, typer.Option(help="state dict of a builder's network, .pth or .safetensors")]
ArgumentsOption = Annotated[str | None, typer.Option(help="arguments of a builder: JSON, such as '{\"ngf\": 32}'")]
ChannelsOption = Annotated[
    int | None, typer.Option(min=1, help="channels of a builder's input, if its first convolution does not show them")
]


def _parsed_arguments(text: str | None) -> dict[str, object] | None:
    if text is None:
        return None
    try:
        arguments = json.loads(text)
    except json.JSONDecodeError as error:
        raise GancompError(f"--arguments {text}: not JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise GancompError(f"--arguments {text}: expected a JSON object")
    return arguments


@app.command()
def compress(
    generator: Annotated[
        str, typer.Option(help="a trained generator: .pth, .safetensors, or package.module:function that builds it")
    ],
    data: Annotated[
        Path, typer.Option(help="a folder of pictures: train/ + val/, trainA/ + trainB/, images/ + labels/")
    ],
    budget: Annotated[str, typer.Option(help="10x: that many times fewer exact MACs; 5.7G: at most so many")] = "10x",
    weights: WeightsOption = None,
    arguments: ArgumentsOption = None,
    channels: ChannelsOption = None,
    name: Annotated[str | None, typer.Option(help="name of the experiment, its folders and NAME.yaml")] = None,
    discriminator: Annotated[
        Path | None, typer.Option(help="the discriminator that the generator was trained with")
    ] = None,
    size: SizeOption = None,
    upsampling: UpsamplingOption = None,
    norm: NormOption = None,
    statistics: StatisticsOption = None,
    key: KeyOption = None,
    check: CheckOption = None,
    direction: Annotated[Direction, typer.Option(help="BtoA: B is the input")] = Direction.AtoB,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="epochs of the student; by the number of pictures if unset")
    ] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="cores to use; all if unset")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only print what would be done")] = False,
) -> None:
    """Compress a trained generator on a folder of pictures, with a report."""
    shape = _parsed_size(size)
    keywords = _parsed_arguments(arguments)
    from gancomp.compression.run import compress as run

    run(
        generator,
        data,
        budget,
        weights=weights,
        arguments=keywords,
        channels=channels,
        name=name,
        discriminator=discriminator,
        size=shape,
        upsampling=upsampling.value if upsampling else None,
        norm=norm.value if norm else None,
        statistics=statistics.value if statistics else None,
        key=key,
        sample=check,
        direction=direction.value,
        epochs=epochs,
        cores=cores,
        dry_run=dry_run,
    )


@app.command()
def groups(
    generator: Annotated[str, typer.Argument(help="a checkpoint, or package.module:function that builds it")],
    weights: WeightsOption = None,
    arguments: ArgumentsOption = None,
    channels: ChannelsOption = None,
    size: SizeOption = None,
    upsampling: UpsamplingOption = None,
    norm: NormOption = None,
    statistics: StatisticsOption = None,
    key: KeyOption = None,
    separable: Annotated[
        bool, typer.Option("--separable", help="with convolutions decomposed, as in its students")
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="also draw them, as FIGURE.svg and .png")] = None,
    save: Annotated[Path | None, typer.Option(help="also write a builder's description for generator.network")] = None,
) -> None:
    """List the groups of channels that the search can narrow, their costs, and why others keep their width."""
    shape = _parsed_size(size)
    keywords = _parsed_arguments(arguments)
    from gancomp.compression.imported import imported
    from gancomp.compression.space import student_block
    from gancomp.convert.telling import describe
    from gancomp.elastic.listing import list_groups
    from gancomp.pipeline.files import write_text
    from gancomp.report.groups import draw_groups, groups_table

    spec, tensors = imported(
        generator,
        weights,
        keywords,
        channels,
        size=shape,
        upsampling=upsampling.value if upsampling else None,
        norm=norm.value if norm else None,
        statistics=statistics.value if statistics else None,
        key=key,
    )
    if save and not spec.network:
        raise GancompError("--save: describes a builder's network; gancomp knows this generator's family")
    if separable and student_block(spec) != spec.block:
        spec, tensors = spec.model_copy(update={"block": student_block(spec)}), None
    found = list_groups(spec, tensors)
    print(f"{generator}: {describe(spec)}\n\n{groups_table(found)}")
    if spec.network:
        print(f"distilled: {', '.join(spec.network.distilled)}")
        print(f"decomposed in separable students: {', '.join(spec.network.decomposed) or 'none'}")
    if figure:
        draw_groups(found, figure.with_suffix(""), f"Width groups of {Path(generator).name}")
    if save and spec.network:
        write_text(save, spec.network.model_dump_json(indent=1) + "\n")


@app.command()
def cost(
    experiment: ExperimentName,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    pictures: Annotated[
        tuple[int, int, int] | None,
        typer.Option(min=1, help="number of pictures of train-1, train-2 and val, if the data set is not built yet"),
    ] = None,
) -> None:
    """Estimate a run's cost: pictures, MACs, time here, memory and disk of every stage. Measures for 2 s."""
    config = experiment_config(experiment, configfile, set_)
    from gancomp.measure.cost import estimate

    print(
        estimate(
            config, experiment, dict(zip(("train-1", "train-2", "val"), pictures, strict=True)) if pictures else None
        )
    )


def _parsed_size(text: str | None) -> tuple[int, int] | None:
    from gancomp.spec import parse_size

    if text is None:
        return None
    try:
        height, width = parse_size(text)
    except ValueError:
        raise GancompError(f"--size {text}: expected H or HxW, such as 256 or 256x512") from None
    return height, width


@app.command()
def profile(
    checkpoint: Annotated[Path | None, typer.Argument(help="a checkpoint, instead of the options below")] = None,
    family: Annotated[str, typer.Option(help="resnet, unet or spade")] = "resnet",
    block: Annotated[str, typer.Option(help="dense, separable or inception")] = "dense",
    widths: Annotated[str, typer.Option(help="one width for all, or such as 32_32_48_32_48_48_16_16")] = "64",
    size: Annotated[str, typer.Option(help="H or HxW, in pixels")] = "256",
    in_channels: Annotated[int | None, typer.Option(help="channels of the input; 36 for spade, else 3")] = None,
    norm: Annotated[str | None, typer.Option(help="instance, affine or batch; the family's default if unset")] = None,
    blocks: Annotated[int, typer.Option(help="resnet: residual blocks")] = 9,
    downs: Annotated[int, typer.Option(help="unet: stride-2 convolutions")] = 8,
    upsampling: Annotated[str, typer.Option(help="spade: more or normal")] = "more",
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable, with layers")] = False,
) -> None:
    """Count a generator's parameters and multiply-accumulates in both conventions."""
    import dataclasses

    from pydantic import ValidationError

    from gancomp.measure.macs import Layer
    from gancomp.measure.macs import profile as count
    from gancomp.pipeline.checkpoints import read_header
    from gancomp.spec import GeneratorSpec

    if checkpoint:
        spec = read_header(checkpoint).spec
    else:
        try:
            spec = GeneratorSpec.model_validate(
                {
                    "family": family,
                    "block": block,
                    "widths": widths,
                    "size": size,
                    "in_channels": in_channels or (36 if family == "spade" else 3),
                    "norm": norm,
                    "blocks": blocks,
                    "downs": downs,
                    "upsampling": upsampling,
                }
            )
        except ValidationError as error:
            faults = [": ".join([*map(str, fault["loc"][:1]), fault["msg"]]) for fault in error.errors()]
            told = dict.fromkeys(fault.replace("Value error, ", "") for fault in faults)
            raise GancompError("profile: " + "; ".join(told)) from None
    counted = count(spec)
    if as_json:
        print(json.dumps({"spec": spec.model_dump(mode="json"), **dataclasses.asdict(counted)}, indent=2))
        return
    print(f"{'layer':<24} {'parameters':>12} {'MACs (exact)':>18} {'MACs (paper)':>18}")
    total = Layer("total", counted.params, counted.macs, counted.macs_paper)
    for layer in (*counted.layers, total):
        print(f"{layer.name:<24} {layer.params:>12,} {layer.macs:>18,} {layer.macs_paper:>18,}")
