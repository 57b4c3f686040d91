"""One experiment as one self-contained web page: pictures and trade-off first, then the table and the losses."""

from __future__ import annotations

import base64
import html
from pathlib import Path

from markdown_it import MarkdownIt

from gancomp.artifacts import write_text
from gancomp.report.records import require

#: Figures of the page: file, heading, description for those who cannot see it.
GRID = ("grid.png", "Pictures", "Validation pictures: input, target, and what each generator makes of the input")
TRADEOFF = ("tradeoff.svg", "Quality against cost", "Quality against MACs: every subnet, the Pareto front, the winner")
LOSSES = ("losses.svg", "Losses", "Losses of every training against images seen")

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
img { max-width: 100%; height: auto; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.85rem; }
th, td { padding: 0.35rem 0.6rem; border-bottom: 1px solid #ddd; }
th { vertical-align: bottom; }
"""


def write_page(results: Path, experiment: str, compressed: bool = True) -> None:
    """Write `report.html` of *experiment* from its table and figures; it needs no other file and no network.

    There is a trade-off to show only where something is *compressed*. Raises GancompError naming the stage to run when
    one is missing.
    """
    folder = results / experiment
    table = require(folder / "tables" / "table.md", "tables").read_text(encoding="utf-8")
    title, _, rest = table.partition("\n")
    title = title.removeprefix("# ").strip()
    # js-default: tables are understood, HTML in the text is shown, not run.
    body = MarkdownIt("js-default").render(rest)
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    sections = [_figure(folder, *figure) for figure in ((GRID, TRADEOFF) if compressed else (GRID,))]
    sections += [f"<h2>Numbers</h2>\n{body}", _figure(folder, *LOSSES)]
    write_text(
        folder / "report.html",
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n<h1>{html.escape(title)}</h1>\n" + "\n".join(sections) + "\n</html>\n",
    )


def _figure(folder: Path, name: str, heading: str, description: str) -> str:
    content = require(folder / "figures" / name, "figures").read_bytes()
    kind = "svg+xml" if name.endswith(".svg") else "png"
    data = base64.b64encode(content).decode()
    return f'<h2>{heading}</h2>\n<img alt="{html.escape(description)}" src="data:image/{kind};base64,{data}">'
