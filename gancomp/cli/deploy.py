"""Commands that use a generator outside the workflow."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gancomp.cli.app import ConfigFiles, Direction, ExperimentName, Overrides, app, experiment_config
from gancomp.errors import GancompError


class ExportFormat(StrEnum):
    """Formats of exports."""

    onnx = "onnx"
    openvino = "openvino"
    torch = "torch"
    coreml = "coreml"
    litert = "litert"
    executorch = "executorch"
    tensorrt = "tensorrt"


class ExportPrecision(StrEnum):
    """The precision of an export's weights."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="model.safetensors of any stage; with --widths an experiment")],
    widths: Annotated[
        str | None,
        typer.Option(help="a subnet to cut out of the once-for-all network, such as 24,12,12,24"),
    ] = None,
    to: Annotated[
        ExportFormat | None,
        typer.Option(
            help="ONNX, OpenVINO IR or a torch.export program; Core ML, LiteRT or ExecuTorch for phones; ONNX for "
            "TensorRT; with --widths .safetensors if unset"
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the file to write; default: beside the model")] = None,
    precision: Annotated[ExportPrecision, typer.Option(help="precision of the weights")] = ExportPrecision.fp32,
    dynamic: Annotated[bool, typer.Option(help="dynamic height and width")] = False,
    data: Annotated[
        Path | None, typer.Option(help="a built data set (data/NAME): compares its pictures too, calibrates int8")
    ] = None,
    direction: Annotated[Direction, typer.Option(help="which side of that data set is the input")] = Direction.AtoB,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
) -> None:
    """Export a generator, or any subnet of a search, for other runtimes, verified against PyTorch."""
    if widths is None and to is None:
        formats = ", ".join(ExportFormat)
        raise GancompError(f"export: say --to, one of {formats}; or --widths, which subnet of an experiment")
    path = Path(model)
    if widths is not None:
        config = experiment_config(model, configfile, set_)
        from gancomp.deploy.chosen import export_widths

        path = export_widths(config, model, widths, out if to is None else None)
        print(path)
    if to is None:
        return
    from gancomp.deploy.formats import CALIBRATION_PICTURES, export_generator, real_inputs

    real = real_inputs(data, direction.value) if data else None
    calibration = None
    if data and precision is ExportPrecision.int8:
        calibration = real_inputs(data, direction.value, "train-1", CALIBRATION_PICTURES)
    print(
        export_generator(
            path, to.value, out, precision=precision.value, dynamic=dynamic, real=real, calibration=calibration
        )
    )


@app.command("apply")
def apply_(
    model: Annotated[Path, typer.Argument(help=".safetensors, .onnx, .xml, .tflite or .pte that gancomp wrote")],
    source: Annotated[
        Path, typer.Argument(help="a folder of pictures (for a GauGAN model, maps of class indices), or a video")
    ],
    out: Annotated[Path | None, typer.Option(help="output folder or file; default: SOURCE-MODEL")] = None,
    training_size: Annotated[
        bool, typer.Option("--training-size", help="resize each to the training size, and keep that size")
    ] = False,
    tile: Annotated[
        int | None, typer.Option(min=1, help="process larger pictures in tiles of this side in pixels, to bound memory")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="frames of a video in memory at once")] = 8,
    threads: Annotated[int, typer.Option(min=0, help="0: the runtime's default")] = 0,
) -> None:
    """Translate a folder of pictures, or a video."""
    if source.is_file():
        from gancomp.deploy.video import apply_video

        made = apply_video(model, source, out, training_size=training_size, tile=tile, batch=batch, threads=threads)
    else:
        from gancomp.deploy.apply import apply_folder

        made = apply_folder(model, source, out, training_size=training_size, tile=tile, threads=threads)
    print(made)


@app.command("web-runtime")
def web_runtime(
    archive: Annotated[Path | None, typer.Option(help="the package's .tgz, if npm cannot download it")] = None,
) -> None:
    """Fetch onnxruntime-web, which runs networks in a browser."""
    from gancomp.deploy.demo.web_runtime import fetch_web_runtime
    from gancomp.pipeline import paths

    fetch_web_runtime(paths.WEB_RUNTIME, archive)


@app.command("demo-page")
def demo_page(experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
    """Write the drawing page, on which both networks render the drawing."""
    config = experiment_config(experiment, configfile, set_)
    from gancomp.deploy.demo.build import build_demo
    from gancomp.pipeline import paths

    print(build_demo(config, experiment, paths.WEB_RUNTIME))


@app.command()
def demo(
    experiment: Annotated[str, typer.Argument(help="an experiment with a drawing page")] = "",
    pretrained: Annotated[bool, typer.Option("--pretrained", help="the generator that comes with gancomp")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port")] = 0,
    browser: Annotated[bool, typer.Option(help="open it in the browser")] = True,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
) -> None:
    """Show the drawing page on this machine."""
    if pretrained == bool(experiment):
        raise GancompError("demo: name an experiment, or say --pretrained")
    from gancomp.deploy.demo.serve import serve
    from gancomp.pipeline import paths

    if pretrained:
        from gancomp.deploy.demo.pretrained import pretrained_page

        folder = pretrained_page().parent
    else:
        experiment_config(experiment, configfile, set_)
        folder = paths.stage(experiment, "demo")
        if not (folder / "index.html").is_file():
            raise GancompError(f"{folder / 'index.html'}: missing; run `snakemake {folder / 'index.html'}` first")
    serve(folder, port, browser)
