"""Every table and figure of the study as one self-contained page."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image

from gancomp.config.settings import Config
from gancomp.config.study import resolve, study_of
from gancomp.paper.agreement import optimism
from gancomp.paper.curves import ROLES
from gancomp.paper.measured import files_of, measure
from gancomp.paper.places import FIGURES, TABLES, scored_in
from gancomp.paper.tables import study_folder
from gancomp.pipeline.files import write_text
from gancomp.report.metrics import BY_KEY
from gancomp.report.page import STYLE
from gancomp.report.reading import require

CAPTIONS: Mapping[str, str] = {
    "figure1": "One picture per data set: outputs of the original, the compressed and a uniformly narrow generator.",
    "figure2": "Conditional GANs need far more MACs per picture than image classifiers; parameters are similar.",
    "figure3": "The method, as the stages of the workflow and their inputs; numbers are the paper's sections.",
    "figure4": "The compressed generator beside its original and a uniformly narrow one of the same cost.",
    "figure5": "CycleGAN students over sizes, trained unpaired or on their teacher's output.",
    "figure6": "Generators from scratch, pruned and distilled, and found by the search, over sizes.",
    "figure7a": "Figure 5's comparison, as an ablation.",
    "figure7b": "Generators with normal and with separable residual blocks, from scratch, over sizes.",
    "figure8": "Distillation of the output alone, compared with training from scratch and the whole method.",
    "figure9": "More pictures in the place of horse→zebra.",
    "figure10": "More pictures in the place of edges→shoes.",
    "figure11": "More pictures in the place of map→aerial photo.",
    "figure12": "More pictures in the place of cityscapes (pix2pix).",
    "figure13": "More pictures in the place of cityscapes (GauGAN).",
    "agreement": "Not in the paper: whether scores in the once-for-all network rank subnets as training does. "
    "τ is Kendall's, with its 95% bootstrap interval over the subnets.",
}
#: CSS pixels per inch: a figure's letters of 8 points are then a little smaller than the text.
INCH = 120
PAGE_STYLE = f"""{STYLE}
h1 {{ line-height: 1.25; }} article h1 {{ font-size: 1.15rem; margin-bottom: .5rem; }}
nav {{ font-size: .9rem; margin: 1rem 0; }} nav a {{ margin-right: .6rem; white-space: nowrap; }}
figure {{ margin: 2rem 0; }} figcaption, article ul {{ color: #555; max-width: 46rem; font-size: .9rem; }}
article {{ margin: 2.5rem 0; }} article th {{ text-align: left; background: #f4f6f8; }}
article td:not(:first-child) {{ white-space: nowrap; }}
.paper {{ background: #fbf6e9; }} article th.paper {{ background: #f3e9cd; }} .none {{ color: #888; }}
"""


def write_page(config: Config) -> None:
    """Write `paper.html` in the study's folder. Raises GancompError for a missing table or figure.

    The paper's numbers are tinted. A figure without runs is a line "not run".
    """
    study, folder = study_of(config), study_folder(config)
    title = html.escape(study.title or study.name)
    names = sorted(FIGURES, key=_order)
    links = "".join(f'<a href="#{name}">{_told(name)}</a>' for name in (*names, *TABLES))
    body = [
        f"<h1>{title}</h1>",
        "<p>The tables and figures of GAN Compression (Li et al., CVPR 2020): its printed numbers, tinted, and beside "
        "them those of this run. Numbers that the paper does not print are empty; what this study did not run is "
        "marked.</p>",
        _rows(("in the place of", "this run", "data set", "picture"), _roles(config)),
        f"<nav>{links}</nav>",
        "<h2>Figures</h2>",
        *(_figure(config, folder, name) for name in names),
        "<h2>Tables</h2>",
        *(_table(folder, name) for name in TABLES),
        "<h2>The winner's optimism</h2>",
        "<p>Its scores on train-2, by which it was selected, and on validation.</p>",
        _rows(("experiment", "metric", "train-2", "validation", "difference"), _optimism(config)),
        "<h2>What was not run</h2>",
        _absent(config),
        "<h2>Where the numbers come from</h2>",
        "<p>The CSV beside each table and figure traces every number to its run, seeds, data hash, code version and "
        "command.</p>",
        _rows(("experiment", "stage", "seeds", "data hash", "code version"), _sources(config)),
    ]
    write_text(
        folder / "paper.html",
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{PAGE_STYLE}</style>\n" + "\n".join(body) + "\n</html>\n",
    )


def _order(name: str) -> tuple[int, str]:
    digits = "".join(character for character in name if character.isdigit())
    return int(digits) if digits else 99, name


def _told(name: str) -> str:
    return name.capitalize().replace("Figure", "Figure ").replace("Table", "Table ")


def _run_in(config: Config, name: str) -> bool:
    """Whether the study ran anything that *name* shows; True if it needs no run."""
    places = scored_in(name)
    return not places or any(file.is_file() for place in places for file in files_of(config, place))


def _figure(config: Config, folder: Path, name: str) -> str:
    content = require(folder / f"{name}.png", "paper").read_bytes()
    shown = html.escape(CAPTIONS[name])
    caption = f"<figcaption><b>{_told(name)}.</b> {shown}</figcaption>"
    if not _run_in(config, name):
        return f'<section id="{name}"><figure><p class="none">not run</p>{caption}</figure></section>'
    with Image.open(io.BytesIO(content)) as picture:
        width = round(picture.width / picture.info["dpi"][0] * INCH)
    data = base64.b64encode(content).decode()
    image = f'<img alt="{shown}" width="{width}" src="data:image/png;base64,{data}">'
    return f'<section id="{name}"><figure>{image}{caption}</figure></section>'


def _table(folder: Path, name: str) -> str:
    """The table's Markdown as HTML, with the paper's columns marked."""
    text = require(folder / f"{name}.md", "paper").read_text(encoding="utf-8")
    # js-default: supports tables, and escapes HTML in the text.
    tokens = MarkdownIt("js-default").parse(text)
    printed: set[int] = set()
    column = 0
    for place, token in enumerate(tokens):
        if token.type == "tr_open":
            column = 0
        elif token.type in ("th_open", "td_open"):
            if token.type == "th_open" and tokens[place + 1].content.endswith("(paper)"):
                printed.add(column)
            if column in printed:
                token.attrJoin("class", "paper")
            column += 1
    rendered = MarkdownIt("js-default").renderer.render(tokens, MarkdownIt("js-default").options, {})
    rendered = rendered.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    return f'<article id="{name}">{rendered}</article>'


def _rows(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A plain table; `not run` if it has no rows."""
    lines = [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    if not lines:
        return '<p class="none">not run</p>'
    top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    return f'<div class="table"><table><tr>{top}</tr>{"".join(lines)}</table></div>'


def _roles(config: Config) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for role, name in study_of(config).experiments.items():
        declared = config.experiments[name]
        height, width = config.datasets[declared.dataset].size
        rows.append((ROLES.get(role, role), name, declared.title or declared.dataset, f"{height} × {width}"))
    return rows


def _optimism(config: Config) -> list[tuple[str, ...]]:
    rows = []
    for row in optimism(config):
        metric = BY_KEY[row["metric"]]
        scores = (metric.text(float(row[key])) for key in ("train2", "validation"))
        rows.append((row["experiment"], metric.head, *scores, metric.change(float(row["difference"]))))
    return rows


def _absent(config: Config) -> str:
    """The number of missing scores of each table and figure, and for how many the study has no experiment."""
    lines = []
    for name in (*TABLES, *sorted(FIGURES, key=_order)):
        places = dict.fromkeys(scored_in(name))
        missing = [place for place in places if not any(file.is_file() for file in files_of(config, place))]
        unfilled = sum(resolve(config, place) is None for place in missing)
        if not missing:
            continue
        reason = f"; the study names no experiment for {unfilled}" if unfilled else ""
        lines.append(f"<li>{_told(name)}: {len(missing)} of {len(places)} scores{reason}</li>")
    return f"<ul>{''.join(lines)}</ul>" if lines else "<p>Everything was run.</p>"


def _sources(config: Config) -> list[tuple[str, ...]]:
    """Every experiment and stage with a score on this page."""
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    for place in dict.fromkeys(place for name in (*TABLES, *FIGURES) for place in scored_in(name)):
        found = measure(config, place)
        if found is None or not found.evaluations:
            continue
        records = found.evaluations
        versions = dict.fromkeys(record.code_version for record in records)
        rows[found.experiment, found.stage] = (
            *(found.experiment, found.stage, ", ".join(str(record.seed) for record in records)),
            *(records[0].data_hash[:12], ", ".join(versions)),
        )
    return [rows[key] for key in sorted(rows)]
