"""A generator's model card: it contains only what the stages measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gancomp.cli import app as cli
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.pipeline.checkpoints import read_header
from gancomp.pipeline.files import file_sha256, write_json
from gancomp.share.card import card

TABLE = "| Generator | FID ↓ |\n| :-- | --: |\n| **Ours** | 95.8 |"
SETTINGS: dict[str, Any] = {
    "datasets": {"drawn": {"source": "openmoji", "size": 16, "load_size": 18}},
    "experiments": {
        "made-up": {
            "title": "Outline → emoji",
            "dataset": "drawn",
            "discriminator": {"layers": 1},
            "original": {"widths": 8},
            "teacher": {"widths": 6},
            "distill": {"widths": 4},
            "supernet": {"space": [[4, 2]] * 8},
            "search": {"budget": "5x"},
        }
    },
}


@pytest.fixture
def folder(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a run that a card reads."""
    spec = read_header(model).spec
    counted = profile(spec)
    scores = {"fid": 95.77, "kid": 0.02111, "l1": 0.0668}
    made = {"stage": "finetune", "experiment": "made-up", "spec": spec.model_dump(mode="json"), "images": 12, "seed": 0}
    made |= {"data_hash": "0f" * 32, "code_version": "0.1.0", "samples": ["a.png"]}
    cost = {"params": counted.params, "macs": counted.macs, "macs_paper": counted.macs_paper}
    write_json(tmp_path / "results/made-up/finetune/evaluation.json", scores | made | cost)
    files = {"results/made-up/tables/table.md": f"# Made up\n\n{TABLE}\n\nWords.\n\n| more |\n", "config.yaml": ""}
    files |= {"data/drawn/ATTRIBUTION.txt": "Drawn by somebody, CC BY-SA 4.0.\n"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text or yaml.safe_dump(SETTINGS), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parts(text: str) -> tuple[dict[str, Any], str]:
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def gancomp(*arguments: str) -> str:
    done = CliRunner().invoke(cli.app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_of_an_experiment_it_tells_scores_licence_and_cost(folder: Path) -> None:
    path = folder / gancomp("card", "made-up").strip()
    assert path == folder / "results/made-up/export/README.md"
    front, body = parts(path.read_text(encoding="utf-8"))
    assert (front["license"], front["library_name"], front["pipeline_tag"]) == (
        "cc-by-sa-4.0",
        "gancomp",
        "image-to-image",
    )
    (entry,) = front["model-index"]
    (result,) = entry["results"]
    assert {one["type"]: one["value"] for one in result["metrics"]} == {"fid": 95.77, "kid": 0.02111, "l1": 0.0668}
    assert (entry["name"], result["dataset"]["name"]) == ("Outline → emoji", "drawn")
    counted = profile(read_header(path.with_name("model.safetensors")).spec)
    for told in (TABLE, f"{counted.params:,}", "Drawn by somebody", file_sha256(path.with_name("model.safetensors"))):
        assert told in body
    assert "| more |" not in body


def test_the_hub_reads_its_front_matter(folder: Path) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    gancomp("card", "made-up")
    read = huggingface_hub.ModelCard.load(folder / "results/made-up/export/README.md").data
    assert (read.license, read.model_name) == ("cc-by-sa-4.0", "Outline → emoji")
    assert {one.metric_type: one.metric_value for one in read.eval_results}["fid"] == 95.77


def test_of_a_file_alone_it_claims_neither_scores_nor_a_licence(model: Path) -> None:
    front, body = parts(card(model))
    assert set(front) == {"library_name", "pipeline_tag", "tags"}
    assert "## Results" not in body
    assert "MACs (exact)" in body


def test_a_generator_is_handed_on_with_card_and_attribution(folder: Path) -> None:
    assert gancomp("push", "made-up", "--to", "shared").strip() == "shared"
    assert sorted(path.name for path in (folder / "shared").iterdir()) == [
        "ATTRIBUTION.txt",
        "README.md",
        "model.safetensors",
    ]
    assert 'load_generator("shared/model.safetensors")' in (folder / "shared/README.md").read_text(encoding="utf-8")


def test_a_stage_that_did_not_run_is_named(folder: Path) -> None:
    (folder / "results/made-up/tables/table.md").unlink()
    with pytest.raises(GancompError, match=r"table\.md: missing; run the stage 'tables' first"):
        gancomp("card", "made-up")
