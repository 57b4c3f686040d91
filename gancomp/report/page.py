"""One experiment as one self-contained web page: pictures and trade-off first, then the table and the losses."""

from __future__ import annotations

import base64
import csv
import html
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt

from gancomp.pipeline.files import write_text
from gancomp.report.metrics import BY_KEY
from gancomp.report.reading import require
from gancomp.report.rows import times
from gancomp.report.verdicts import UNLEARNED

#: Figures of the page: file, heading, alternative text.
GRID = ("grid.png", "Pictures", "Validation pictures: input, target, and each generator's output")
TRADEOFF = ("tradeoff.svg", "Quality against cost", "Quality against MACs: every subnet, the Pareto front, the winner")
LOSSES = ("losses.svg", "Losses", "Losses of every training against images seen")

STYLE = """
:root { color-scheme: light; --ink: #1d2327; --soft: #59636b; --line: #d5dade; --green: #007a5a; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink); }
h1 { font-size: 1.7rem; margin-bottom: .3rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
img { max-width: 100%; height: auto; }
.facts { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }
.facts div { flex: 1 1 9rem; border: 1px solid var(--line); border-radius: 10px; padding: .6rem .9rem; }
.facts strong { display: block; font-size: 1.7rem; line-height: 1.2; color: var(--green); }
.facts span, footer { color: var(--soft); font-size: .88rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); } th { vertical-align: bottom; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: .6rem; overflow-wrap: anywhere; }
@media print { body { margin: 0; } .facts div { break-inside: avoid; } }
"""


def write_page(results: Path, experiment: str, compressed: bool = True) -> None:
    """Write `report.html` of *experiment* from its table and figures, as one file that needs no network.

    The trade-off and key figures are shown only if *compressed*; if the original has not learned its task, the table's
    warning replaces the key figures. Raises GancompError with the stage to run if a file is missing.
    """
    folder = results / experiment
    table = require(folder / "tables" / "table.md", "tables").read_text(encoding="utf-8")
    with require(folder / "tables" / "table.csv", "tables").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    title, _, rest = table.partition("\n")
    title = title.removeprefix("# ").strip()
    body = as_html(rest)
    warning = next((line for line in rest.splitlines() if UNLEARNED in line), None)
    lead = as_html(warning) if warning else _facts(rows) if compressed else ""
    figures = folder / "figures"
    sections = [figure(figures, *shown) for shown in ((GRID, TRADEOFF) if compressed else (GRID,))]
    sections += [f"<h2>Numbers</h2>\n{body}", figure(figures, *LOSSES)]
    write_text(folder / "report.html", document(title, [lead, *sections, footer(_about(rows[0]))]))


def document(title: str, sections: Sequence[str], style: str = "") -> str:
    """An HTML page with heading *title*, *sections* in HTML, and *style* appended to `STYLE`."""
    head = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{head}</title>\n'
        f"<style>{STYLE}{style}</style>\n<h1>{head}</h1>\n" + "\n".join(sections) + "\n</html>\n"
    )


def as_html(markdown: str) -> str:
    """*markdown* as HTML: tables scroll, and HTML in the text is escaped."""
    body: str = MarkdownIt("js-default").render(markdown)
    return body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")


def _facts(rows: list[dict[str, str]]) -> str:
    """The key figures: the last generator, ours, against the first, the original."""
    original, ours = rows[0], [row for row in rows if row["macs_exact"]][-1]
    parameters = int(original["parameters"]) / int(ours["parameters"])
    told = [
        (times(float(ours["macs_exact_times_fewer"])), "fewer multiply-accumulates (exact count)"),
        (times(parameters), "fewer parameters"),
        (times(float(ours["latency_times_faster"])), f"faster in PyTorch, {ours['threads']} threads"),
        (BY_KEY["fid"].text(float(ours["fid"])), f"FID ↓, the original's {BY_KEY['fid'].text(float(original['fid']))}"),
    ]
    boxes = "".join(f"<div><strong>{value}</strong><span>{html.escape(text)}</span></div>" for value, text in told)
    return f'<div class="facts">{boxes}</div>'


def _about(row: dict[str, str]) -> str:
    return (
        f"Experiment {row['experiment']}, seed {row['seed']}, {row['images']} validation pictures, data "
        f"{row['data_hash'][:16]}, gancomp {row['code_version']}."
    )


def footer(text: str) -> str:
    return f"<footer>{html.escape(text)}</footer>"


def figure(folder: Path, name: str, heading: str, description: str) -> str:
    """The picture *name* in *folder*, embedded into the page, under *heading*."""
    content = require(folder / name, "figures").read_bytes()
    kind = "svg+xml" if name.endswith(".svg") else "png"
    data = base64.b64encode(content).decode()
    return f'<h2>{heading}</h2>\n<img alt="{html.escape(description)}" src="data:image/{kind};base64,{data}">'
