"""Commands that watch a running training."""

from __future__ import annotations

from typing import Annotated

import typer

from gancomp.cli.app import ConfigFiles, ExperimentName, Overrides, app, experiment_config

Every = Annotated[float, typer.Option(min=0.1, help="seconds between two updates")]


@app.command()
def watch(
    experiment: ExperimentName,
    once: Annotated[bool, typer.Option("--once", help="print the current state and exit")] = False,
    every: Every = 2.0,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
) -> None:
    """Show all stages of an experiment while another process runs them: state, losses, speed, time left."""
    config = experiment_config(experiment, configfile, set_)
    from gancomp.report.watch import watch as run

    run(config, experiment, once=once, every=every)


@app.command()
def tensorboard(
    experiment: ExperimentName,
    follow: Annotated[bool, typer.Option("--follow", help="continue until all stages are done")] = False,
    every: Every = 10.0,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
) -> None:
    """Write losses, speed and sample pictures as TensorBoard's event files."""
    config = experiment_config(experiment, configfile, set_)
    from gancomp.report.events import write_events

    if follow:
        print(f"tensorboard --logdir results/{experiment}/tensorboard", flush=True)
    folder = write_events(config, experiment, follow=follow, every=every)
    if not follow:
        print(f"tensorboard --logdir {folder}")
