"""Commands that score, measure and report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gancomp.cli.app import (
    ConfigFiles,
    Device,
    DeviceOption,
    Expect,
    ExperimentName,
    Overrides,
    app,
    experiment_command,
    experiment_config,
    read_config,
    scoring_command,
    stage_config,
)
from gancomp.errors import GancompError


class Evaluated(StrEnum):
    """Stages with a generator to score."""

    original = "original"
    narrow = "narrow"
    subnet = "subnet"
    finetune = "finetune"
    teacher = "teacher"
    distill = "distill"
    scratch = "scratch"


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
    from gancomp.measure.evaluate import evaluate as run

    run(config, experiment, stage.value, device.value)


scoring_command(
    "reference",
    "statistics",
    "gancomp.measure.evaluate:evaluate_reference",
    "Score the reference rows: real against real, input copied, mean colour.",
)


scoring_command(
    "benchmark",
    "finetune",
    "gancomp.measure.benchmark:benchmark",
    "Measure parameters, MACs, activation memory and latency; run it alone.",
)


experiment_command(
    "tables", "gancomp.report.stage:write_experiment_tables", "Write the experiment's table as CSV and Markdown."
)


experiment_command(
    "figures", "gancomp.report.stage:write_experiment_figures", "Draw the experiment's figures from its tables."
)


experiment_command(
    "report",
    "gancomp.report.stage:write_experiment_page",
    "Write the table and the figures as one web page, report.html.",
)


@app.command()
def explore(
    experiment: ExperimentName,
    draw: Annotated[
        list[str] | None, typer.Option(help="widths of an additional subnet to show, such as 24,12,12,24; repeatable")
    ] = None,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    device: DeviceOption = Device.auto,
) -> None:
    """Write a page on which to choose a subnet by eye: every scored one as a point, and their outputs."""
    config = experiment_config(experiment, configfile, set_)
    from gancomp.report.explore.build import write_explore
    from gancomp.search.widths import widths_in_space

    asked = [widths_in_space(config, experiment, text) for text in draw or ()]
    options = [part for file in configfile or () for part in ("--configfile", str(file))]
    options += ["--set", set_] if set_ != "{}" else []
    print(write_explore(config, experiment, asked, options, device.value))


experiment_command(
    "latency",
    "gancomp.measure.runtimes:measure_runtimes",
    "Measure original and compressed generator on every installed runtime (Table 2); run it alone.",
)


experiment_command(
    "sensitivity",
    "gancomp.measure.sensitivity:measure_sensitivity",
    "Measure and draw how much each convolution loses by computing in int8.",
)


@app.command("subnet-latency")
def subnet_latency(
    experiment: ExperimentName,
    kit: Annotated[
        Path | None,
        typer.Option(help="write the subnets and a script into this folder, to time them on another device"),
    ] = None,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
) -> None:
    """Measure subnets on the target device, and predict the latency of all others; run it alone."""
    config = experiment_config(experiment, configfile, set_)
    from gancomp.search.subnet_latency import measure_subnets, write_kit

    if kit is None:
        measure_subnets(config, experiment)
    else:
        write_kit(config, experiment, kit)


@app.command()
def space(
    experiment: ExperimentName,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    device: DeviceOption = Device.auto,
) -> None:
    """Write the searched space as a data set: every scored subnet with its measured latency; run it alone."""
    config = experiment_config(experiment, configfile, set_)
    from gancomp.search.space_table import write_space

    write_space(config, experiment, device.value)


@app.command("vote-page")
def vote_page(
    experiment: ExperimentName,
    pictures: Annotated[int, typer.Option(min=1, help="pairs per person")] = 50,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    device: DeviceOption = Device.auto,
) -> None:
    """Write a web page for a user study of ours against the uniform narrow baseline (Table 8)."""
    config = experiment_config(experiment, configfile, set_)
    from gancomp.paper.votes import write_vote_page

    write_vote_page(config, experiment, pictures, device.value)


@app.command()
def votes(
    experiment: ExperimentName,
    files: Annotated[list[Path], typer.Argument(help="votes-*.json saved by the page")],
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
) -> None:
    """Count the votes, with Wilson's 95% interval, for Table 8."""
    experiment_config(experiment, configfile, set_)
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
    """Write a table or figure of the paper from the configured study's results, or the page of all of them."""
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
    """Write tables and a figure of the configured comparison of methods."""
    config = read_config(configfile, set_)
    from gancomp.report.comparison import write_comparison

    write_comparison(config)


@app.command()
def compare(
    experiments: Annotated[list[str], typer.Argument(help="experiments with results; each includes all of its seeds")],
    into: Annotated[
        Path | None, typer.Option("--output", help="folder to write to; results/compare/ONE+OTHER if unset")
    ] = None,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
) -> None:
    """Compare several experiments, budgets or seeds: tables, a figure, the same pictures, and one page."""
    config = read_config(configfile, set_)
    from gancomp.report.compare.write import write_side_by_side

    print(write_side_by_side(config, experiments, into))


@app.command()
def times() -> None:
    """Collect time and memory of every job of the workflow in one table: results/times.csv, times.md."""
    from gancomp.report.times import write_times

    print(write_times())


experiment_command(
    "verify", "gancomp.pipeline.adopt:verify_results", "Check results from another machine: settings, pictures, hashes."
)
