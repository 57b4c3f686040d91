"""Commands that score subnets, and extract the best one."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from gancomp.cli.app import (
    ConfigFiles,
    Device,
    DeviceOption,
    Expect,
    ExperimentName,
    MinutesOption,
    Overrides,
    app,
    end_of,
    scoring_command,
    stage_config,
)
from gancomp.errors import GancompError


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
    """Score one shard of the subnets under the budget. With --minutes, a random sample within that time."""
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
    shards: Annotated[int, typer.Option(min=1, help="number of shards")] = 1,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    expect: Expect = "",
) -> None:
    """Merge the shards into search.csv."""
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
    """Score all subnets on few pictures and the best on all, instead of search and merge. To resume, run it again."""
    until = end_of(minutes)
    config = stage_config(experiment, "scores", configfile, set_, expect)
    from gancomp.search.scores import halve_scores

    halve_scores(config, experiment, device.value, until)


scoring_command(
    "evolve",
    "scores",
    "gancomp.search.scores:evolve_scores",
    "Score subnets by evolutionary search, instead of search and merge. To resume, run it again.",
)


@app.command()
def select(
    experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}", expect: Expect = ""
) -> None:
    """Select the winner and the Pareto front."""
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
    """Extract the winner from the once-for-all network."""
    config = stage_config(experiment, "subnet", configfile, set_, expect)
    from gancomp.train.device import Machine
    from gancomp.train.stages import extract_winner

    extract_winner(config, experiment, Machine(device.value, devices=1))


@app.command()
def slim(
    experiment: ExperimentName, configfile: ConfigFiles = None, set_: Overrides = "{}", expect: Expect = ""
) -> None:
    """Write the compressed generator, verified against the networks it came from."""
    config = stage_config(experiment, "export", configfile, set_, expect)
    from gancomp.deploy.slim import export_slim

    export_slim(config, experiment)
