"""Records reject missing, misspelt or non-finite values, naming file and key."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from gancomp.errors import GancompError
from gancomp.pipeline.files import read_csv, write_csv
from gancomp.pipeline.stages import COMPARED
from gancomp.report.reading import read, read_log
from gancomp.report.records import Benchmark, Evaluation, Reference, Scores, SupernetMetrics
from gancomp.report.scoreboard import Folders, label, read_scoreboard
from gancomp.report.searched import LATER_COLUMNS, PLAIN_COLUMNS, read_search

from .made_up_results import EXPERIMENT, edit_json, make_alone


def test_evaluation_round_trips(results: Path) -> None:
    path = results / EXPERIMENT / "finetune" / "evaluation.json"
    evaluation = read(path, Evaluation, "finetune")
    assert evaluation.spec.widths == (16, 16, 16, 12, 16, 16, 8, 8)
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


def test_a_score_may_be_an_empty_cell_or_null(results: Path) -> None:
    assert Scores.model_validate({"fid": "1.5", "kid": 0.1, "l1": "", "miou": None}).l1 is None
    with pytest.raises(ValueError, match="fid"):
        Scores.model_validate({"fid": "", "kid": 0.1, "l1": 0.1})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["fid", "kid", "l1"])
def test_scores_that_are_not_finite_are_refused_by_name(results: Path, key: str, value: float) -> None:
    path = results / EXPERIMENT / "original" / "evaluation.json"
    edit_json(path, lambda data: data.update({key: value}))
    with pytest.raises(GancompError, match=rf"original/evaluation\.json: {key}: .*finite.*stage 'original'"):
        read(path, Evaluation, "original")


def test_unknown_key_is_refused_by_name(results: Path) -> None:
    path = results / EXPERIMENT / "narrow" / "evaluation.json"
    edit_json(path, lambda data: data.update(fidd=1.0))
    with pytest.raises(GancompError, match="fidd"):
        read(path, Evaluation, "narrow")


def test_truncated_json_names_the_file(results: Path) -> None:
    path = results / EXPERIMENT / "benchmark" / "benchmark.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(GancompError, match=r"benchmark\.json: not valid JSON"):
        read(path, Benchmark, "benchmark")


def test_reference_needs_every_honesty_row(results: Path) -> None:
    path = results / EXPERIMENT / "reference" / "evaluation.json"
    edit_json(path, lambda data: data["rows"].pop("input copied"))
    with pytest.raises(GancompError, match="expected one of input copied, class colours"):
        read(path, Reference, "reference")


def test_supernet_metrics_may_say_more_but_must_say_l1(results: Path) -> None:
    path = results / EXPERIMENT / "supernet" / "metrics.json"
    assert read(path, SupernetMetrics, "supernet").smallest.end["l1"] == 0.0803
    edit_json(path, lambda data: data["smallest"]["end"].pop("l1"))
    with pytest.raises(GancompError, match=r"smallest: end\.l1 missing"):
        read(path, SupernetMetrics, "supernet")


def test_search_rows_are_typed_and_faults_are_located(results: Path) -> None:
    path = results / EXPERIMENT / "scores" / "search.csv"
    rows = read_search(path)
    assert [row.index for row in rows] == list(range(72))
    assert rows[0].widths == (16, 16, 16, 16, 16, 16, 12, 8)
    lines = path.read_text().splitlines()
    lines[3] = lines[3].rsplit(",", 1)[0] + ",nan"
    path.write_text("\n".join(lines))
    with pytest.raises(GancompError, match=r"search\.csv, line 4: cmmd_high: .*finite"):
        read_search(path)


@pytest.mark.parametrize("later", [LATER_COLUMNS[:26], LATER_COLUMNS[:6], ()])
def test_files_of_earlier_versions_are_read(results: Path, later: tuple[str, ...]) -> None:
    path, columns = results / EXPERIMENT / "scores" / "search.csv", (*PLAIN_COLUMNS, *later)
    before = read_search(path)
    _, rows = read_csv(path)
    write_csv(path, columns, [{name: row[name] for name in columns} for row in rows], checked=True)
    after = read_search(path)
    assert [(row.widths, row.fid, row.l1) for row in after] == [(row.widths, row.fid, row.l1) for row in before]
    assert {(row.precision, row.swd) for row in after} == {(None, None)}
    write_csv(path, columns[1:], [{name: row[name] for name in columns[1:]} for row in rows], checked=True)
    with pytest.raises(GancompError, match=r"search\.csv: its columns are not index, widths"):
        read_search(path)


def test_search_without_rows_is_refused(results: Path) -> None:
    path = results / EXPERIMENT / "scores" / "search.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(GancompError, match="contains no subnet"):
        read_search(path)


def test_log_gives_images_and_losses_only(results: Path) -> None:
    images, losses = read_log(results / EXPERIMENT / "distill" / "log.csv", "distill")
    assert list(losses) == ["d_loss", "g_gan", "g_recon", "g_distill"]
    assert images[:2] == [160.0, 320.0]
    assert {len(values) for values in losses.values()} == {len(images)}


def test_log_with_nan_names_line_and_loss(results: Path) -> None:
    path = results / EXPERIMENT / "teacher" / "log.csv"
    path.write_text("step,images,lr,d_loss\n1,16,0.1,0.5\n2,32,0.1,nan\n")
    with pytest.raises(GancompError, match=r"log\.csv, line 3: d_loss: 'nan'.*'teacher'"):
        read_log(path, "teacher")


@pytest.mark.parametrize("key", ["data_hash", "images", "samples"])
def test_scores_on_different_pictures_are_never_put_in_one_table(results: Path, key: str) -> None:
    other = {"data_hash": "ff", "images": 100, "samples": ["other.png"]}[key]
    edit_json(results / EXPERIMENT / "subnet" / "evaluation.json", lambda data: data.update({key: other}))
    with pytest.raises(GancompError, match=f"subnet/evaluation.json: {key} differs"):
        read_scoreboard(Folders(results, EXPERIMENT))


def test_scores_of_different_inceptions_are_never_put_in_one_table(results: Path) -> None:
    path = results / EXPERIMENT / "subnet" / "evaluation.json"
    edit_json(path, lambda data: data["provenance"].update(inception="bf16"))
    with pytest.raises(GancompError, match=r"subnet/evaluation\.json: provenance\.inception is 'bf16', but None in"):
        read_scoreboard(Folders(results, EXPERIMENT))


def test_scores_of_different_judges_are_never_put_in_one_table(results: Path) -> None:
    path = results / EXPERIMENT / "narrow" / "evaluation.json"
    edit_json(path, lambda data: data["provenance"].update(judge="ff"))
    with pytest.raises(GancompError, match=r"narrow/evaluation\.json: provenance\.judge is 'ff', but None .* mIoU"):
        read_scoreboard(Folders(results, EXPERIMENT))


def test_an_original_alone_is_all_that_is_read(results: Path) -> None:
    board = read_scoreboard(make_alone(results))
    assert list(board.evaluations) == ["original"]
    assert board.reference.baseline == "input copied"


def test_labels_say_the_width_of_the_narrow_generator(results: Path) -> None:
    board = read_scoreboard(Folders(results, EXPERIMENT))
    assert [label(board.evaluations[stage]) for stage in COMPARED] == [
        "Original",
        "Uniform narrow, ngf 10 (from scratch)",
        "Ours (w/o fine-tuning)",
        "Ours",
    ]


def test_the_report_imports_no_torch() -> None:
    code = "import sys, gancomp.report.tables, gancomp.report.figures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
