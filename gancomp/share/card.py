"""A generator's model card, in the layout of the Hugging Face Hub: YAML front matter, then Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gancomp.config.settings import Config
from gancomp.measure.macs import profile
from gancomp.pipeline import paths
from gancomp.pipeline.checkpoints import read_header
from gancomp.pipeline.files import file_sha256
from gancomp.pipeline.places import folder
from gancomp.report.metrics import METRICS
from gancomp.report.reading import read, require
from gancomp.report.records import Evaluation
from gancomp.report.rows import quantity
from gancomp.share.hub import MODEL
from gancomp.spec import GeneratorSpec, format_widths

CARD, ATTRIBUTION = "README.md", "ATTRIBUTION.txt"
#: The Hub's names of the pictures' licences, by source; other sources have only their attribution.
LICENCES = {"openmoji": "cc-by-sa-4.0", "fluent": "mit"}


@dataclass(frozen=True)
class Trained:
    """An experiment's data for the card of its generator: title, data set, licence, scores and table."""

    title: str
    dataset: str
    licence: str
    attribution: str
    scores: Evaluation
    table: str


def trained(config: Config, experiment: str) -> Trained:
    """Read the data of *experiment*. Raises GancompError, with the stage to run, if a file is missing."""
    settings = config.experiments[experiment]
    attribution = require(paths.dataset(settings.dataset) / ATTRIBUTION, "dataset")
    table = require(paths.stage(experiment, "tables") / "table.md", "tables").read_text(encoding="utf-8")
    return Trained(
        title=settings.title or experiment,
        dataset=settings.dataset,
        licence=LICENCES.get(config.datasets[settings.dataset].source, "other"),
        attribution=attribution.read_text(encoding="utf-8"),
        scores=read(folder(config, experiment, "finetune") / "evaluation.json", Evaluation, "evaluate"),
        table=next((block for block in table.split("\n\n") if block.startswith("|")), "").strip(),
    )


def card(model: Path, about: Trained | None = None, address: str = "hub:USER/NAME") -> str:
    """The card of the generator in *model*, with its training's data *about*; without, it has no scores and no licence.
    Raises GancompError if *model* is not a generator of gancomp's."""
    header = read_header(model)
    title = about.title if about else f"{model.stem} ({header.spec.family})"
    front = yaml.safe_dump(_front(title, about), sort_keys=False, allow_unicode=True, width=120)
    parts = [f"---\n{front}---\n\n# {title}", _what_it_is(header.spec, header.experiment)]
    if about:
        parts += [f"## Results\n\n{about.scores.images} validation pictures of `{about.dataset}`.\n\n{about.table}"]
    parts += [_how_to_load(header.spec, address), f"SHA-256 of `{MODEL}`: `{file_sha256(model)}`"]
    if about:
        parts += [f"## Data\n\n{about.attribution.strip()}"]
    return "\n\n".join(parts) + "\n"


def _front(title: str, about: Trained | None) -> dict[str, Any]:
    front: dict[str, Any] = {
        "library_name": "gancomp",
        "pipeline_tag": "image-to-image",
        "tags": ["gan-compression", "image-to-image", "gancomp"],
    }
    if about is None:
        return front
    named = {"license_name": "of-the-data", "license_link": ATTRIBUTION} if about.licence == "other" else {}
    measured = [(metric, value) for metric in METRICS if (value := metric.of(about.scores)) is not None]
    results = [{"type": metric.key, "name": metric.name, "value": value} for metric, value in measured]
    data = {"type": about.dataset, "name": about.dataset, "split": "validation"}
    task = {"type": "image-to-image", "name": "Image-to-Image"}
    return {
        "license": about.licence,
        **named,
        **front,
        "metrics": [metric.key for metric, _ in measured],
        "model-index": [{"name": title, "results": [{"task": task, "dataset": data, "metrics": results}]}],
    }


def _what_it_is(spec: GeneratorSpec, experiment: str) -> str:
    counted = profile(spec)
    height, width = spec.size
    made = f", from the experiment `{experiment}`" if experiment else ""
    return (
        f"An image-to-image generator compressed by the method of *GAN Compression* (Li et al., CVPR 2020){made}: "
        f"{spec.family}, {spec.block} convolutions, widths {format_widths(spec.widths)}, {spec.in_channels} → "
        f"{spec.out_channels} channels at {height} × {width}.\n\n"
        f"| Parameters | MACs (exact) | MACs (paper's convention) |\n| --: | --: | --: |\n"
        f"| {counted.params:,} | {quantity(counted.macs)} | {quantity(counted.macs_paper)} |"
    )


def _how_to_load(spec: GeneratorSpec, address: str) -> str:
    builder = f', builder="{spec.network.builder}"' if spec.network else ""
    return (
        "## How to load it\n\n```python\nimport gancomp\n\n"
        f'generator = gancomp.load_generator("{address}"{builder})  # safetensors: nothing is unpickled\n'
        f"pictures = generator(inputs)  # (n, {spec.in_channels}, height, width) in [-1, 1] → "
        f"(n, {spec.out_channels}, height, width)\n```"
    )
