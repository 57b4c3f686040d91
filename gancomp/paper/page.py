"""Every table and figure of the study as one self-contained page."""

from __future__ import annotations

import base64
import html

from markdown_it import MarkdownIt

from gancomp.artifacts import write_text
from gancomp.config import Config
from gancomp.paper.agreement import optimism
from gancomp.paper.places import FIGURES, TABLES
from gancomp.paper.tables import study_folder
from gancomp.report.page import STYLE
from gancomp.report.records import require
from gancomp.study import study_of

CAPTIONS = {
    "figure1": "Input, target and what original and compressed generators draw, with exact MACs and × fewer.",
    "figure2": "Conditional GANs cost far more for a picture than networks that classify one; parameters are alike.",
    "figure3": "The method, as the stages of the workflow and what each reads.",
    "figure4": "Pictures of the compressed generator, beside its original's and a uniform narrow one's.",
    "figure5": "CycleGAN students over sizes, trained unpaired or on their teacher's output.",
    "figure6": "From scratch, pruned and distilled, and found by the search, over sizes.",
    "figure7a": "Figure 5's comparison, as an ablation.",
    "figure7b": "Residual blocks with normal and with separable convolutions, from scratch, over sizes.",
    "figure8": "Matching the teacher's output, against training from scratch and the whole method.",
    "figure9": "More pictures of horse→zebra's place.",
    "figure10": "More pictures of edges→shoes' place.",
    "figure11": "More pictures of map→aerial photo's place.",
    "figure12": "More pictures of cityscapes' place (pix2pix).",
    "figure13": "More pictures of cityscapes' place (GauGAN).",
    "agreement": "Not in the paper: whether scores in the once-for-all network rank subnets as training them does.",
}


def write_page(config: Config) -> None:
    """`paper.html` in the study's folder; GancompError names the table or figure that is missing."""
    study, folder = study_of(config), study_folder(config)
    body = [
        f"<h1>{html.escape(study.title or study.name)}</h1>",
        "<p>The tables and figures of GAN Compression (Li et al., CVPR 2020), its numbers beside those of this run. "
        "A cell of the paper that is empty is not in its text; what this study did not run says so.</p>",
        "<h2>Figures</h2>",
    ]
    for name in sorted(FIGURES, key=_order):
        picture = require(folder / f"{name}.png", "paper").read_bytes()
        shown = html.escape(CAPTIONS[name])
        data = base64.b64encode(picture).decode()
        heading = name.capitalize().replace("Figure", "Figure ")
        body.append(f'<figure><img alt="{shown}" src="data:image/png;base64,{data}">')
        body.append(f"<figcaption><b>{heading}.</b> {shown}</figcaption></figure>")
    body.append("<h2>Tables</h2>")
    markdown = MarkdownIt("js-default")
    for name in TABLES:
        table = markdown.render(require(folder / f"{name}.md", "paper").read_text(encoding="utf-8"))
        body.append(table.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>"))
    body.append("<h2>The winner's optimism</h2><p>Its scores on train-2, which chose it, and on validation.</p>")
    rows = [
        f"<tr>{''.join(f'<td>{html.escape(value)}</td>' for value in row.values())}</tr>" for row in optimism(config)
    ]
    heads = "".join(f"<th>{head}</th>" for head in ("experiment", "metric", "train-2", "validation", "difference"))
    body.append(
        f'<div class="table"><table><tr>{heads}</tr>{"".join(rows)}</table></div>' if rows else "<p>not run</p>"
    )
    style = STYLE + "figure { margin: 2rem 0; } figcaption { color: #555; max-width: 46rem; }"
    write_text(
        folder / "paper.html",
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(study.title or study.name)}</title>\n<style>{style}</style>\n"
        + "\n".join(body)
        + "\n</html>\n",
    )


def _order(name: str) -> tuple[int, str]:
    digits = "".join(character for character in name if character.isdigit())
    return int(digits) if digits else 99, name
