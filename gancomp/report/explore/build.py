"""`explore/index.html`: every scored subnet as a point, and outputs of some of them, in one file."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gancomp.config.settings import Config
from gancomp.data.archives import each_member
from gancomp.data.calibration import calibration_batches
from gancomp.data.datasets import Pictures, Pixels, to_rgb
from gancomp.data.sources import fetch_npm_package
from gancomp.elastic.space import Subnet
from gancomp.errors import GancompError
from gancomp.measure.evaluate import maker, spread
from gancomp.measure.macs import Totals, profile
from gancomp.nets import load_generator
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_text
from gancomp.pipeline.places import folder as stage_folder
from gancomp.pipeline.places import model_of
from gancomp.pipeline.stages import generator_spec
from gancomp.report.metrics import METRICS, Metric
from gancomp.report.reading import read
from gancomp.report.records import Reference
from gancomp.report.searched import Selection, SubnetRow, read_search, read_space
from gancomp.search.candidates import supernet_of
from gancomp.search.scores import load_supernet
from gancomp.search.select import eligible, pareto_front, read_replicates, tied_with
from gancomp.search.subnet_latency import latency_path, read_latency
from gancomp.search.tree import TreeWalk
from gancomp.spec import Widths
from gancomp.train.device import Device, single_device

PAGE = Path(__file__).with_name("page")
#: The plotting library: npm package, version and SHA-256.
VEGA = ("vega", "6.4.0", "3521fb6ff68a94a40323954f0ba4484ba4014b157bfd37f89a3b063082320c42")
LARGEST = 20_000_000
#: Number of subnets with pictures on the page, each of `evaluate.SAMPLES` pictures.
DRAWN = 32
#: Higher pictures are reduced, so that a phone can open the page.
HIGHEST = 128


def write_explore(
    config: Config, experiment: str, asked: Sequence[Widths] = (), options: Sequence[str] = (), device: Device = "auto"
) -> Path:
    """Write the page of *experiment*'s search, and return its path.

    It has pictures of the subnets from `drawn_ahead`, including those *asked* for. *options* are added to the commands
    on the page. Raises GancompError, with the stage to run, if the search or a network is missing, or if a subnet
    *asked* for was not scored.
    """
    scores = stage_folder(config, experiment, "scores")
    rows = read_search(scores / "search.csv")
    refuse_unscored(scores / "search.csv", rows, asked)
    selection = read(stage_folder(config, experiment, "search") / "selection.json", Selection, "search")
    shown = [metric for metric in METRICS if any(metric.of(row) is not None for row in rows)]
    drawn = drawn_ahead(rows, selection, shown, asked)
    data = {
        **about(config, experiment, options),
        **points(rows, shown, latencies(config, experiment, rows), tied(config, experiment, rows, selection)),
        "metric": selection.metric,
        "winner": selection.winner.index,
        "budget": selection.budget_macs,
        "images": selection.images,
        "bands": bands(experiment),
        "pictures": pictures_of(config, experiment, drawn, device),
    }
    path = paths.stage(experiment, "explore") / "index.html"
    write_text(path, page(data, *vega(paths.DOWNLOADS)))
    return path


# --- the points --------------------------------------------------------------------------------


def about(config: Config, experiment: str, options: Sequence[str]) -> dict[str, Any]:
    """The page's data of the experiment, the space, and the commands."""
    settings = config.experiments[experiment]
    counted = profile(generator_spec(config, experiment, "original"))
    return {
        "experiment": experiment,
        "title": settings.title or experiment,
        "original": {"macs": counted.macs, "macs_paper": counted.macs_paper, "params": counted.params},
        "space": [sorted(choices) for choices in supernet_of(config, experiment).space],
        "names": list(generator_spec(config, experiment, "distill").width_names),
        "commands": {name: shlex.join(["gancomp", name, experiment, *options]) for name in ("export", "explore")},
    }


def points(
    rows: Sequence[SubnetRow], shown: Sequence[Metric], latency: Sequence[float | None], same: set[int]
) -> dict[str, Any]:
    """The table of subnets, with its columns and metrics."""
    metrics = [
        {
            "key": metric.key,
            "head": metric.head,
            "arrow": metric.arrow,
            "direction": metric.direction,
            "higher": metric.direction == "higher",
            "scale": metric.scale,
            "decimals": metric.decimals,
        }
        for metric in shown
    ]
    ends = [f"{metric.key}_{end}" for metric in shown for end in ("low", "high")]
    columns = ["index", "widths", "macs", "macs_paper", "params", *(metric.key for metric in shown), *ends]
    table = [
        [*(getattr(row, column, None) for column in columns), ms, row.index in same]
        for row, ms in zip(rows, latency, strict=True)
    ]
    return {"metrics": metrics, "columns": [*columns, "latency", "tied"], "subnets": table}


def latencies(config: Config, experiment: str, rows: Sequence[SubnetRow]) -> list[float | None]:
    """Milliseconds of each subnet, measured (`scores/space.csv`) or predicted; None if neither is known."""
    measured = paths.stage(experiment, "scores") / "space.csv"
    if measured.is_file():
        known = {row.widths: row.latency_ms for row in read_space(measured)}
        return [known.get(row.widths) for row in rows]
    if latency_path(experiment).is_file():
        model = read_latency(config, experiment)
        return [model.of(row.widths) for row in rows]
    return [None] * len(rows)


def bands(experiment: str) -> dict[str, tuple[float, float]]:
    """95% intervals, by metric, of as many real pictures against other real ones; empty without the reference."""
    path = paths.stage(experiment, "reference") / "evaluation.json"
    return read(path, Reference, "reference").bands.get("train-2", {}) if path.is_file() else {}


def refuse_unscored(path: Path, rows: Sequence[SubnetRow], asked: Sequence[Widths]) -> None:
    """Raises GancompError if the search did not score one of those *asked* for: the page has no point for it."""
    scored = {row.widths for row in rows}
    for widths in asked:
        if widths not in scored:
            text = ",".join(map(str, widths))
            raise GancompError(
                f"--draw {text}: {path} has no such subnet, because the search did not score it (see search.scored); "
                f"the page shows only scored ones, but `gancomp export {path.parts[-3]} --widths {text}` exports any"
            )


def tied(config: Config, experiment: str, rows: Sequence[SubnetRow], selection: Selection) -> set[int]:
    """The subnets tied with the best by the experiment's metric (`tied_with`), as the selection saw them; empty without
    draws."""
    if selection.best is None or selection.tied is None:
        return set()
    replicates = read_replicates(stage_folder(config, experiment, "scores") / "replicates.csv")
    latency = read_latency(config, experiment) if config.experiments[experiment].search.asks_latency else None
    known = [row for row in eligible(config, experiment, rows, latency) if row.index in replicates]
    best = next(row for row in known if row.index == selection.best.index)
    return {row.index for row in tied_with(best, known, selection.metric, replicates)}


# --- the pictures ------------------------------------------------------------------------------


def drawn_ahead(
    rows: Sequence[SubnetRow], selection: Selection, shown: Sequence[Metric], asked: Sequence[Widths] = ()
) -> list[tuple[int, Widths]]:
    """Index and widths of the subnets with pictures on the page, in tree order: those *asked* for, the winner, the
    best, the fronts, and evenly spaced ones by MACs up to `DRAWN`."""
    by_cost = sorted(rows, key=lambda row: (row.macs, row.index))
    of_widths = {row.widths: row for row in rows}
    wanted = [selection.winner, *([selection.best] if selection.best else [])]
    fronts = sorted(shown, key=lambda metric: metric.key != selection.metric)
    for metric in fronts:
        wanted += pareto_front([row for row in rows if metric.of(row) is not None], metric.key)
    chosen = {row.index: row.widths for row in wanted[:DRAWN]}
    rest = [row for row in by_cost if row.index not in chosen]
    evenly = np.linspace(0, len(rest) - 1, min(len(rest), DRAWN - len(chosen))).round().astype(int)
    chosen |= {rest[place].index: rest[place].widths for place in evenly}
    chosen |= {of_widths[widths].index: widths for widths in asked}
    return sorted(chosen.items())


def pictures_of(
    config: Config, experiment: str, drawn: Sequence[tuple[int, Widths]], device: Device = "auto"
) -> dict[str, Any]:
    """The page's pictures: some validation inputs, their truth if known, and each generator's outputs."""
    settings = config.experiments[experiment]
    dataset, root = config.datasets[settings.dataset], paths.dataset(settings.dataset)
    machine = single_device(settings.precision, device)
    where = machine.device
    shown = Pictures(root, ("val",), dataset.direction)
    samples = spread(len(shown))
    inputs = shown.inputs(samples)
    original = load_generator(model_of(config, experiment, "original"), where)
    whole = load_supernet(config, experiment).to(where).eval()
    walk = TreeWalk(whole, calibration_batches(root, dataset, settings.calibration, settings.seed, where))
    # The walk does not use a subnet's cost.
    subnets = [Subnet(index, widths, Totals(0, 0, 0)) for index, widths in drawn]
    with torch.inference_mode():
        made = {subnet.index: strip(shown.decode(out)) for subnet, out in walk(subnets, shown.encode(inputs).to(where))}
    height, width = shown.size
    return {
        "names": [shown.names[index] for index in samples],
        "size": [height, width],
        "reduced": height > HIGHEST,
        "input": strip(inputs),
        "original": strip(maker(original, shown, where)(inputs)),
        "target": strip(shown.targets(samples)) if shown.paired else None,
        "of": made,
    }


def strip(pictures: Pixels) -> str:
    """Pictures (n, h, w, c) one below the other, as a `data:` URL; at most `HIGHEST` pixels high each."""
    colours = to_rgb(pictures)
    count, height, width, _ = colours.shape
    image = Image.fromarray(colours.reshape(count * height, width, 3))
    if height > HIGHEST:
        image = image.resize((round(width * HIGHEST / height), count * HIGHEST), Image.Resampling.BOX)
    stream = io.BytesIO()
    image.save(stream, format="WEBP", lossless=True, quality=80, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


# --- the page ----------------------------------------------------------------------------------


def vega(downloads: Path) -> tuple[str, str]:
    """The library and its licence. Raises GancompError if the package cannot be fetched, or its hash differs."""
    package = fetch_npm_package(*VEGA, downloads)
    names = ("package/build/vega.min.js", "package/LICENSE")
    members = dict(each_member(package, names.__contains__, LARGEST))
    return members[names[0]].decode(), members[names[1]].decode()


def page(data: Mapping[str, Any], library: str, licence: str) -> str:
    """The page's HTML: its template with style, data and scripts inserted."""
    parts = {
        "TITLE": html.escape(f"{data['title']}: choose a subnet"),
        "STYLE": (PAGE / "style.css").read_text(encoding="utf-8"),
        # Text in the data cannot close its script element.
        "DATA": json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "LICENCE": f"/* {licence.replace('*/', '')} */",
        "VEGA": library.replace("</script", "<\\/script"),
        "APP": (PAGE / "app.js").read_text(encoding="utf-8"),
    }
    template = re.split(r"@([A-Z]+)@", (PAGE / "index.html").read_text(encoding="utf-8"))
    return "".join(parts[part] if place % 2 else part for place, part in enumerate(template))
