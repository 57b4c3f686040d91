"""`gancomp STAGE …`: every stage is one command that turns files into files. Torch is imported by the stages alone."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

# Read when OpenMP is loaded. Threads that sleep between operations cost a third of the speed; threads that spin for
# long make two processes on the same cores many times slower than one. Tens of microseconds avoid the first.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import typer

from gancomp.errors import GancompError

# The configuration and its checks take most of a second to import: help and misspelt commands answer without them.
if TYPE_CHECKING:
    from gancomp.config import Config

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
        typer.Option(help="package.module:function that may be run to build a generator of one's own; repeatable"),
    ] = None,
) -> None:
    """Compress conditional GANs: every stage turns files into files. Plain `snakemake` runs them all in order."""
    from gancomp.builders import allow

    for reference in builder or ():
        allow(reference)


class Device(StrEnum):
    """Where networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Evaluated(StrEnum):
    """Stages whose generator is scored."""

    original = "original"
    narrow = "narrow"
    subnet = "subnet"
    finetune = "finetune"
    teacher = "teacher"
    distill = "distill"
    scratch = "scratch"


class Direction(StrEnum):
    """Which side of a pair is the input."""

    AtoB = "AtoB"
    BtoA = "BtoA"


class Upsampling(StrEnum):
    """How often a SPADE generator doubles the size: six times or five."""

    more = "more"
    normal = "normal"


ExperimentName = Annotated[str, typer.Argument(help="an experiment of the configuration")]
DatasetName = Annotated[str, typer.Argument(help="a data set of the configuration")]
ConfigFiles = Annotated[
    list[Path] | None, typer.Option("--configfile", help="YAML file, repeatable, the later over the earlier")
]
Overrides = Annotated[str, typer.Option("--set", help='JSON over the files, such as \'{"run": ["emoji"]}\'')]
Expect = Annotated[str, typer.Option(help="refuse unless the stage's settings still have this signature")]


class NormChoice(StrEnum):
    """A normalisation, where a checkpoint's tensors do not show it."""

    instance = "instance"
    batch = "batch"
    none = "none"


class StatisticsChoice(StrEnum):
    """Of batch norm: what training left, or each picture's own."""

    running = "running"
    batch = "batch"


NormOption = Annotated[NormChoice | None, typer.Option(help="where the file does not say it, or only by its biases")]
StatisticsOption = Annotated[
    StatisticsChoice | None, typer.Option(help="of batch norm; batch: as pix2pix's test.py without --eval")
]
SizeOption = Annotated[str | None, typer.Option(help="H or HxW of the pictures, in pixels")]
UpsamplingOption = Annotated[Upsampling | None, typer.Option(help="of a SPADE generator; its file does not say")]
KeyOption = Annotated[str | None, typer.Option(help="which entry of the checkpoint, such as netG, if it has several")]
CheckOption = Annotated[
    tuple[Path, Path] | None,
    typer.Option(metavar="INPUT OUTPUT", help="pictures: refuse unless the generator draws OUTPUT of INPUT"),
]
DevicesOption = Annotated[
    int | None, typer.Option(min=1, max=64, help="share every batch among so many; else as the configuration says")
]
MinutesOption = Annotated[
    float | None, typer.Option(min=0.1, help="save and stop before so many are over: a job's time limit")
]
DeviceOption = Annotated[Device, typer.Option(help="where networks run; auto takes a GPU where there is one")]


def main() -> None:
    """Entry point: a mendable error is one message and exit status 1."""
    try:
        app(prog_name="gancomp", standalone_mode=True)
    except GancompError as error:
        sys.stderr.write(f"gancomp: error: {error}\n")
        raise SystemExit(1) from None


def read_config(configfiles: list[Path] | None, overrides: str) -> Config:
    """The configuration that the options name; `config.yaml` where they name none."""
    from gancomp.loading import load

    try:
        data = json.loads(overrides)
    except json.JSONDecodeError as error:
        raise GancompError(f"--set {overrides}: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise GancompError(f"--set {overrides}: expected a JSON object")
    return load(configfiles or [Path("config.yaml")], data)


def stage_config(experiment: str, stage: str, configfiles: list[Path] | None, overrides: str, expect: str) -> Config:
    """The configuration for one stage, checked against what the workflow planned."""
    from gancomp.pipeline import signature

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


# --- data --------------------------------------------------------------------------------------


@app.command()
def inception() -> None:
    """Fetch and verify the weights of the FID network."""
    from gancomp import paths
    from gancomp.metrics.inception_weights import fetch

    fetch(paths.INCEPTION, paths.DOWNLOADS)


@app.command()
def dataset(name: DatasetName, configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
    """Fetch, verify, build and split a data set."""
    config = read_config(configfile, set_)
    known_dataset(config, name)
    from gancomp import paths
    from gancomp.data.build import build

    build(name, config.datasets[name], paths.dataset(name), paths.DOWNLOADS)


@app.command()
def statistics(
    name: DatasetName,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    device: DeviceOption = Device.auto,
) -> None:
    """Inception features of the real targets, which every FID is measured against."""
    config = read_config(configfile, set_)
    known_dataset(config, name)
    from gancomp import paths
    from gancomp.metrics.inception import Inception
    from gancomp.metrics.statistics import write_statistics

    networks = {}
    for precision in config.precisions_of(name):
        network = Inception(paths.INCEPTION, precision=precision, device=device.value)
        networks[network.key] = network
    root = paths.dataset(name)
    write_statistics(root, list(networks.values()), root / "statistics.safetensors")


@app.command()
def judge(
    name: DatasetName,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    device: DeviceOption = Device.auto,
) -> None:
    """Make the network that reads classes off generated pictures, and measure it on real ones."""
    config = read_config(configfile, set_)
    known_dataset(config, name)
    from gancomp.train.judge import train_judge

    train_judge(config, name, device.value)


@app.command()
def perceptual(network: Annotated[str, typer.Argument(help="vgg19, vgg16 or efficientnet-lite0")]) -> None:
    """Fetch and verify the network of GauGAN's perceptual loss."""
    from gancomp import paths
    from gancomp.objectives.perceptual import fetch_perceptual

    fetch_perceptual(network, paths.perceptual(network), paths.DOWNLOADS)


@app.command()
def lpips() -> None:
    """Fetch the networks of LPIPS; where its backbone cannot be had, say so instead."""
    from gancomp import paths
    from gancomp.metrics.lpips import fetch_lpips

    fetch_lpips(paths.LPIPS, paths.DOWNLOADS)


def known_dataset(config: Config, name: str) -> None:
    if name not in config.datasets:
        raise GancompError(f"no data set {name!r}; there are: {', '.join(config.datasets) or 'none'}")


# --- training ----------------------------------------------------------------------------------


def end_of(minutes: float | None) -> float | None:
    """When *minutes* from now are over, or earlier the Slurm job that this is part of, by `time.monotonic()`."""
    if minutes is None:
        return None
    seconds = 60 * minutes
    job_end = os.environ.get("SLURM_JOB_END_TIME", "")  # by the clock; the job has begun before this process did
    if job_end.isdigit():
        seconds = min(seconds, int(job_end) - time.time())
    return time.monotonic() + seconds


def _training_command(stage: str, function: str, doc: str) -> None:
    """Register one training stage; they all take the same options."""

    def command(
        experiment: ExperimentName,
        configfile: ConfigFiles = None,
        set_: Overrides = "{}",
        expect: Expect = "",
        device: DeviceOption = Device.auto,
        devices: DevicesOption = None,
        minutes: MinutesOption = None,
    ) -> None:
        until = end_of(minutes)
        config = stage_config(experiment, stage, configfile, set_, expect)
        from gancomp.train import stages
        from gancomp.train.device import Machine

        train: Callable[[Config, str, Machine], None] = getattr(stages, function)
        train(config, experiment, Machine(device.value, devices, until))

    app.command(stage, help=f"{doc} To resume, run the same command again.")(command)


_training_command("original", "train_original", "Train the uncompressed generator.")
_training_command("teacher", "train_teacher", "Train the MobileNet-style teacher.")
_training_command("distill", "train_distilled", "Distil the pruned student from the teacher.")
_training_command("supernet", "train_supernet", "Train the once-for-all network.")
_training_command("finetune", "train_finetuned", "Fine-tune the winner.")
_training_command("narrow", "train_narrow", "Train the uniform narrow baseline from scratch.")
_training_command("scratch", "train_scratch", "Train the winner's widths from scratch.")


# --- search ------------------------------------------------------------------------------------


@app.command()
def search(
    experiment: ExperimentName,
    shard: Annotated[str, typer.Option(help="I-of-N, I from 0")] = "0-of-1",
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    expect: Expect = "",
    device: DeviceOption = Device.auto,
    minutes: MinutesOption = None,
) -> None:
    """Score one shard of the subnets under the budget. With --minutes, as many as there is time for, at random."""
    until = end_of(minutes)
    match = re.fullmatch(r"(\d+)-of-(\d+)", shard)
    if not match or int(match[1]) >= int(match[2]):
        raise GancompError(f"--shard {shard}: expected I-of-N with I from 0 to N-1, such as 0-of-4")
    config = stage_config(experiment, "scores", configfile, set_, expect)
    from gancomp.search.scores import score_shard

    score_shard(config, experiment, int(match[1]), int(match[2]), device.value, until)


@app.command()
def merge(
    experiment: ExperimentName,
    shards: Annotated[int, typer.Option(min=1, help="how many shards there are")] = 1,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    expect: Expect = "",
) -> None:
    """Join the shards into search.csv."""
    config = stage_config(experiment, "scores", configfile, set_, expect)
    from gancomp.search import select as module

    module.merge(config, experiment, shards)


@app.command()
def halve(
    experiment: ExperimentName,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    expect: Expect = "",
    device: DeviceOption = Device.auto,
    minutes: MinutesOption = None,
) -> None:
    """Score all subnets on few pictures and the best on all, in place of search and merge. To resume, run it again."""
    until = end_of(minutes)
    config = stage_config(experiment, "scores", configfile, set_, expect)
    from gancomp.search.scores import halve_scores

    halve_scores(config, experiment, device.value, until)


@app.command()
def evolve(
    experiment: ExperimentName,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    expect: Expect = "",
    device: DeviceOption = Device.auto,
) -> None:
    """Score the subnets that evolution comes upon, in place of search and merge. To resume, run it again."""
    config = stage_config(experiment, "scores", configfile, set_, expect)
    from gancomp.search.scores import evolve_scores

    evolve_scores(config, experiment, device.value)


@app.command()
def select(
    experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}", expect: Expect = ""
) -> None:
    """Choose the winner and the Pareto front."""
    config = stage_config(experiment, "search", configfile, set_, expect)
    from gancomp.search import select as module

    module.select(config, experiment)


@app.command()
def subnet(
    experiment: ExperimentName,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    expect: Expect = "",
    device: DeviceOption = Device.auto,
) -> None:
    """Cut the winner out of the once-for-all network."""
    config = stage_config(experiment, "subnet", configfile, set_, expect)
    from gancomp.train.device import Machine
    from gancomp.train.stages import extract_winner

    extract_winner(config, experiment, Machine(device.value, devices=1))


@app.command()
def slim(
    experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}", expect: Expect = ""
) -> None:
    """Write the compressed generator, checked against the networks it came from."""
    config = stage_config(experiment, "export", configfile, set_, expect)
    from gancomp.export.slim import export_slim

    export_slim(config, experiment)


# --- away from the workflow --------------------------------------------------------------------


class ExportFormat(StrEnum):
    """What a generator can be exported as."""

    onnx = "onnx"
    openvino = "openvino"
    torch = "torch"


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
        typer.Option(help="ONNX, OpenVINO IR, or a torch.export program; with --widths .safetensors if unset"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the file to write; else beside the model")] = None,
    precision: Annotated[ExportPrecision, typer.Option(help="of the weights")] = ExportPrecision.fp32,
    dynamic: Annotated[bool, typer.Option(help="leave height and width open")] = False,
    data: Annotated[
        Path | None, typer.Option(help="a built data set (data/NAME): compares its pictures too, calibrates int8")
    ] = None,
    direction: Annotated[Direction, typer.Option(help="which side of that data set is the input")] = Direction.AtoB,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
) -> None:
    """Write a generator for other runtimes, held against PyTorch before it is written; or any subnet of a search."""
    if widths is None and to is None:
        raise GancompError("export: say --to onnx, openvino or torch; or --widths, which subnet of an experiment")
    path = Path(model)
    if widths is not None:
        config = _report_config(model, configfile, set_)
        from gancomp.export.chosen import export_widths

        path = export_widths(config, model, widths, out if to is None else None)
        print(path)
    if to is None:
        return
    from gancomp.export.formats import CALIBRATION_PICTURES, export_generator, real_inputs

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
    model: Annotated[Path, typer.Argument(help=".safetensors, .onnx or .xml that gancomp wrote")],
    folder: Annotated[Path, typer.Argument(help="pictures; of a GauGAN model, maps of class numbers")],
    out: Annotated[Path | None, typer.Option(help="where the pictures go; else FOLDER-MODEL")] = None,
    training_size: Annotated[
        bool, typer.Option("--training-size", help="resize each to the size of training, and leave it so")
    ] = False,
    threads: Annotated[int, typer.Option(min=0, help="0: as many as the runtime likes")] = 0,
) -> None:
    """Translate a folder of pictures."""
    from gancomp.apply import apply_folder

    print(apply_folder(model, folder, out, training_size=training_size, threads=threads))


@app.command("web-runtime")
def web_runtime(
    archive: Annotated[Path | None, typer.Option(help="the package's .tgz, where npm does not reach it")] = None,
) -> None:
    """Fetch onnxruntime-web, which runs networks in a browser."""
    from gancomp import paths
    from gancomp.demo.web_runtime import fetch_web_runtime

    fetch_web_runtime(paths.WEB_RUNTIME, archive)


@app.command("demo-page")
def demo_page(experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
    """Write the page on which one draws and sees both networks colour it."""
    config = _report_config(experiment, configfile, set_)
    from gancomp import paths
    from gancomp.demo.build import build_demo

    print(build_demo(config, experiment, paths.WEB_RUNTIME))


@app.command()
def demo(
    experiment: Annotated[str, typer.Argument(help="an experiment whose page was made")] = "",
    pretrained: Annotated[bool, typer.Option("--pretrained", help="the generator that comes along")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = 0,
    browser: Annotated[bool, typer.Option(help="open it in the browser")] = True,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
) -> None:
    """Show the drawing page on this machine."""
    if pretrained == bool(experiment):
        raise GancompError("demo: name an experiment, or say --pretrained")
    from gancomp import paths
    from gancomp.demo.serve import serve

    if pretrained:
        from gancomp.demo.pretrained import pretrained_page

        folder = pretrained_page().parent
    else:
        _report_config(experiment, configfile, set_)
        folder = paths.stage(experiment, "demo")
        if not (folder / "index.html").is_file():
            raise GancompError(f"{folder / 'index.html'}: missing; run `snakemake {folder / 'index.html'}` first")
    serve(folder, port, browser)


# --- evaluation and report ---------------------------------------------------------------------


@app.command()
def evaluate(
    experiment: ExperimentName,
    stage: Annotated[Evaluated, typer.Argument(help="whose generator")],
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    expect: Expect = "",
    device: DeviceOption = Device.auto,
) -> None:
    """Score a stage's generator on the validation pictures."""
    config = stage_config(experiment, stage.value, configfile, set_, expect)
    from gancomp.evaluate import evaluate as run

    run(config, experiment, stage.value, device.value)


@app.command()
def reference(
    experiment: ExperimentName,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    expect: Expect = "",
    device: DeviceOption = Device.auto,
) -> None:
    """Score the honesty rows: real against real, input copied, mean colour."""
    config = stage_config(experiment, "statistics", configfile, set_, expect)
    from gancomp.evaluate import evaluate_reference

    evaluate_reference(config, experiment, device.value)


@app.command()
def benchmark(
    experiment: ExperimentName,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    expect: Expect = "",
    device: DeviceOption = Device.auto,
) -> None:
    """Measure parameters, MACs, activation memory and latency; run it alone."""
    config = stage_config(experiment, "finetune", configfile, set_, expect)
    from gancomp.benchmark import benchmark as run

    run(config, experiment, device.value)


@app.command()
def tables(experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
    """Write the experiment's table as CSV and Markdown."""
    config = _report_config(experiment, configfile, set_)
    from gancomp.report.stage import write_experiment_tables

    write_experiment_tables(config, experiment)


@app.command()
def figures(experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
    """Draw the experiment's figures from its tables alone."""
    config = _report_config(experiment, configfile, set_)
    from gancomp.report.stage import write_experiment_figures

    write_experiment_figures(config, experiment)


@app.command()
def report(experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
    """Gather the table and the figures in one web page, report.html."""
    config = _report_config(experiment, configfile, set_)
    from gancomp.report.stage import write_experiment_page

    write_experiment_page(config, experiment)


@app.command()
def explore(
    experiment: ExperimentName,
    draw: Annotated[
        list[str] | None, typer.Option(help="widths of a subnet to draw besides, such as 24,12,12,24; repeatable")
    ] = None,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    device: DeviceOption = Device.auto,
) -> None:
    """Write a page on which to choose a subnet by eye: every scored one as a point, and what they draw."""
    config = _report_config(experiment, configfile, set_)
    from gancomp.explore.build import write_explore
    from gancomp.search.widths import widths_in_space

    asked = [widths_in_space(config, experiment, text) for text in draw or ()]
    options = [part for file in configfile or () for part in ("--configfile", str(file))]
    options += ["--set", set_] if set_ != "{}" else []
    print(write_explore(config, experiment, asked, options, device.value))


@app.command()
def latency(experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
    """Measure original and compressed generator on every runtime that is here (Table 2); run it alone."""
    config = _report_config(experiment, configfile, set_)
    from gancomp.latency import measure_runtimes

    measure_runtimes(config, experiment)


@app.command("segment-latency")
def segment_latency(experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
    """Measure every segment at every width, of which any subnet's latency is the sum; run it alone."""
    config = _report_config(experiment, configfile, set_)
    from gancomp.search.segment_latency import measure_segments

    measure_segments(config, experiment)


@app.command()
def space(
    experiment: ExperimentName,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    device: DeviceOption = Device.auto,
) -> None:
    """Write the searched space as a data set: every scored subnet with its measured latency; run it alone."""
    config = _report_config(experiment, configfile, set_)
    from gancomp.search.space_table import write_space

    write_space(config, experiment, device.value)


@app.command("vote-page")
def vote_page(
    experiment: ExperimentName,
    pictures: Annotated[int, typer.Option(min=1, help="how many pairs a person sees")] = 50,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    device: DeviceOption = Device.auto,
) -> None:
    """Write a web page that asks people which looks more real: ours, or the uniform narrow baseline's (Table 8)."""
    config = _report_config(experiment, configfile, set_)
    from gancomp.paper.votes import write_vote_page

    write_vote_page(config, experiment, pictures, device.value)


@app.command()
def votes(
    experiment: ExperimentName,
    files: Annotated[list[Path], typer.Argument(help="votes-*.json as the page saved them")],
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
) -> None:
    """Count what people preferred, with Wilson's 95% interval, for Table 8."""
    _report_config(experiment, configfile, set_)
    from gancomp.paper.votes import count_votes

    found = count_votes(experiment, files)
    print(
        f"{experiment}: {found.share:.1%} of {found.votes} votes of {found.voters} people preferred ours, "
        f"95% interval {found.low:.1%} to {found.high:.1%}; {found.left:.0%} chose the left picture"
    )


@app.command()
def paper(
    target: Annotated[str, typer.Argument(help="table1 to table8, figure1 to figure13, agreement, or page")],
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
) -> None:
    """Write a table or figure of the paper, from what the configured study ran, or the page of all of them."""
    config = read_config(configfile, set_)
    from gancomp.paper.places import FIGURES, TABLES

    if target in TABLES:
        from gancomp.paper.tables import write_table

        write_table(config, target)
    elif target in FIGURES:
        from gancomp.paper.figures import write_figure

        write_figure(config, target)
    elif target == "page":
        from gancomp.paper.page import write_page

        write_page(config)
    else:
        raise GancompError(f"no table or figure {target!r}; there are: {', '.join((*TABLES, *FIGURES, 'page'))}")


@app.command()
def comparison(configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
    """Put the configured comparison of methods into tables and a figure."""
    config = read_config(configfile, set_)
    from gancomp.comparison import write_comparison

    write_comparison(config)


@app.command()
def verify(experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
    """Check results that were made elsewhere: settings, pictures, hashes."""
    from gancomp.adopt import verify_results

    verify_results(_report_config(experiment, configfile, set_), experiment)


@app.command()
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="a generator (.pth or .safetensors) that another project trained")],
    out: Annotated[Path, typer.Argument(help="the .safetensors to write")],
    size: SizeOption = None,
    upsampling: UpsamplingOption = None,
    norm: NormOption = None,
    statistics: StatisticsOption = None,
    key: KeyOption = None,
    check: CheckOption = None,
    discriminator: Annotated[bool, typer.Option("--discriminator", help="it is a discriminator")] = False,
) -> None:
    """Read a checkpoint from elsewhere, as tensors alone, and write it as gancomp's own."""
    shape = _parsed_size(size)
    from gancomp import convert as module
    from gancomp.artifacts import is_own

    if discriminator:
        of_generators = {"size": size, "upsampling": upsampling, "norm": norm, "statistics": statistics, "check": check}
        if given := [f"--{name}" for name, value in of_generators.items() if value is not None]:
            raise GancompError(
                f"{given[0]}: is of generators, so it would go unheeded; leave it or --discriminator out"
            )
        print(f"{out}: {module.convert_discriminator(checkpoint, out, key)}")
    else:
        spec = module.convert(
            checkpoint,
            out,
            shape,
            upsampling.value if upsampling else None,
            norm.value if norm else None,
            statistics.value if statistics else None,
            key,
            check,
        )
        print(f"{out}: {module.describe(spec)}")
        if not is_own(checkpoint):
            print("\n".join(f"  taken to have  {line}" for line in module.assumed(spec)))


WeightsOption = Annotated[
    Path | None, typer.Option(help="of a builder's network: its state dict, .pth or .safetensors")
]
ArgumentsOption = Annotated[str | None, typer.Option(help="of a builder: JSON, such as '{\"ngf\": 32}'")]
ChannelsOption = Annotated[
    int | None, typer.Option(min=1, help="of a builder's input, where its first convolution does not tell")
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
    budget: Annotated[str, typer.Option(help="10x fewer exact MACs, or at most 5.7G")] = "10x",
    weights: WeightsOption = None,
    arguments: ArgumentsOption = None,
    channels: ChannelsOption = None,
    name: Annotated[str | None, typer.Option(help="of the experiment, its folders and NAME.yaml")] = None,
    discriminator: Annotated[Path | None, typer.Option(help="the one that the generator was trained with")] = None,
    size: SizeOption = None,
    upsampling: UpsamplingOption = None,
    norm: NormOption = None,
    statistics: StatisticsOption = None,
    key: KeyOption = None,
    check: CheckOption = None,
    direction: Annotated[Direction, typer.Option(help="BtoA: B is the input")] = Direction.AtoB,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="of the student; by the number of pictures if unset")
    ] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="of this machine; all if unset")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done")] = False,
) -> None:
    """From a trained generator and a folder of pictures to a compressed generator and its report."""
    shape = _parsed_size(size)
    keywords = _parsed_arguments(arguments)
    from gancomp.compression import compress as run

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
        bool, typer.Option("--separable", help="as its students are, with convolutions decomposed")
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="also draw them, as FIGURE.svg and .png")] = None,
    save: Annotated[Path | None, typer.Option(help="of a builder: also write what generator.network reads")] = None,
) -> None:
    """Which channels of a generator the search can narrow together, what they cost, and which stay whole, and why."""
    shape = _parsed_size(size)
    keywords = _parsed_arguments(arguments)
    from gancomp.artifacts import write_text
    from gancomp.compression import student_block
    from gancomp.convert import describe
    from gancomp.elastic.listing import list_groups
    from gancomp.imported import imported
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
        typer.Option(min=1, help="of train-1, train-2 and val, where the data set is not built yet"),
    ] = None,
) -> None:
    """What a run will cost: pictures, MACs, time on this machine, memory and disk of every stage. Measures for 2 s."""
    config = _report_config(experiment, configfile, set_)
    from gancomp.cost import estimate

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


def _report_config(experiment: str, configfile: list[Path] | None, set_: str) -> Config:
    config = read_config(configfile, set_)
    known_experiment(config, experiment)
    return config


@app.command()
def profile(
    checkpoint: Annotated[Path | None, typer.Argument(help="a checkpoint, instead of the options below")] = None,
    family: Annotated[str, typer.Option(help="resnet, unet or spade")] = "resnet",
    block: Annotated[str, typer.Option(help="dense, separable or inception")] = "dense",
    widths: Annotated[str, typer.Option(help="one width for all, or such as 32_32_48_32_48_48_16_16")] = "64",
    size: Annotated[str, typer.Option(help="H or HxW, in pixels")] = "256",
    in_channels: Annotated[int | None, typer.Option(help="channels of the input; 36 for spade, else 3")] = None,
    norm: Annotated[str | None, typer.Option(help="instance, affine or batch; the family's own if unset")] = None,
    blocks: Annotated[int, typer.Option(help="resnet: residual blocks")] = 9,
    downs: Annotated[int, typer.Option(help="unet: stride-2 convolutions")] = 8,
    upsampling: Annotated[str, typer.Option(help="spade: more or normal")] = "more",
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable, with layers")] = False,
) -> None:
    """Count a generator's parameters and multiply-accumulates in both conventions."""
    import dataclasses

    from pydantic import ValidationError

    from gancomp.artifacts import read_header
    from gancomp.profile.macs import Layer
    from gancomp.profile.macs import profile as count
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


if __name__ == "__main__":
    main()
