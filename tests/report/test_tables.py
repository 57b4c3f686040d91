"""Table 1: values, factors, conclusions in words, and clear errors."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gancomp.errors import GancompError
from gancomp.pipeline.files import read_json
from gancomp.report.rows import quantity, significant
from gancomp.report.scoreboard import Folders, Subject
from gancomp.report.tables import CSV_COLUMNS, write_tables

from .made_up_results import COSTS, EXPERIMENT, SCORES, edit_json, make_alone, make_judged, make_unpaired, subject


def table(results: Path, note: str = "", title: str = "A title", **declared: Any) -> tuple[list[dict[str, str]], str]:
    write_tables(subject(results, title=title, note=note, **declared))
    folder = results / EXPERIMENT / "tables"
    with (folder / "table.csv").open(newline="") as stream:
        return list(csv.DictReader(stream)), (folder / "table.md").read_text(encoding="utf-8")


def markdown_row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_csv_holds_raw_numbers_and_factors(results: Path) -> None:
    rows, _ = table(results)
    assert list(rows[0]) == list(CSV_COLUMNS)
    assert [row["row"] for row in rows] == [
        "Original",
        "Uniform narrow, ngf 10 (from scratch)",
        "Ours (w/o fine-tuning)",
        "Ours",
        "real against real",
        "input copied",
        "mean colour",
    ]
    ours = rows[3]
    assert int(ours["macs_exact"]) == COSTS["finetune"]["macs"]
    assert float(ours["macs_exact_times_fewer"]) == pytest.approx(790 / 77.2, abs=1e-4)
    assert float(ours["macs_paper_convention_times_fewer"]) == pytest.approx(905 / 90.1, abs=1e-4)
    assert float(ours["latency_times_faster"]) == pytest.approx(61.2 / 16.3, abs=1e-4)
    assert float(ours["kid_mmd2"]) == SCORES["finetune"]["kid"]
    assert ours["widths"] == "16_16_16_12_16_16_8_8"
    assert float(rows[0]["macs_exact_times_fewer"]) == 1
    assert rows[4]["l1_share_of_range"] == ""
    assert rows[5]["macs_exact"] == ""
    assert {(row["seed"], row["images"], row["code_version"]) for row in rows} == {("7", "290", "0.1.0+abcdef0")}
    assert {row["data_hash"] for row in rows} == {"0f" * 32}


def test_markdown_is_readable(results: Path) -> None:
    _, text = table(results)
    assert text.startswith("# A title\n")
    assert markdown_row(text, "Original")[1:] == (
        ["2.85 M", "790 M", "1×", "905 M", "1×", "88.3", "15.32", "0.0612", "61.2", "1×", "109 MiB"]
    )
    assert markdown_row(text, "**Ours**")[1:10] == (
        ["0.092 M", "77.2 M", "10.2×", "90.1 M", "10.0×", "95.8", "21.11", "0.0668", "16.3"]
    )
    assert markdown_row(text, "real against real")[1:] == [*["–"] * 5, "69.8", "−0.12", "–", "–", "–", "–"]
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {13}
    assert "KID × 10³" in text
    assert "(PyTorch, 2 threads)" in text


def test_title_and_note_stay_on_their_lines(results: Path) -> None:
    _, text = table(results, note="Undertrained:\n\n it only shows\nthat all runs.", title="Two\nlines")
    assert text.startswith("# Two lines\n")
    assert "**Note.** Undertrained: it only shows that all runs.\n" in text
    _, text = table(results)
    assert "**Note.**" not in text


def test_small_samples_are_named(results: Path) -> None:
    _, text = table(results)
    assert "290 validation pictures" in text
    assert "160 pictures of train-2, among 72 of 576 subnets, under a budget of 79.0 M exact MACs" in text
    assert "real pictures against other real ones score 69.8" in text


def test_an_original_that_learned_is_said_so(results: Path) -> None:
    _, text = table(results)
    assert "The original beats *input copied* on FID, KID and L1 (FID 88.3 against 121.5, KID × 10³ 15.32" in text
    assert "Warning" not in text


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"fid": 130.0}, "FID (FID 130.0 against 121.5)"),
        ({"kid": 0.0521}, "KID (KID × 10³ 52.10 against 52.10)"),  # no better is not better
        ({"fid": 130.0, "l1": 0.2}, "FID and L1 (FID 130.0 against 121.5, L1 0.2000 against 0.1436)"),
    ],
)
def test_an_original_that_did_not_learn_is_a_bold_warning(results: Path, change: dict[str, float], named: str) -> None:
    edit_json(results / EXPERIMENT / "original" / "evaluation.json", lambda data: data.update(change))
    _, text = table(results)
    assert f"**Warning: the original does not beat *input copied* on {named}." in text
    assert "nothing about compression follows from this table.**" in text
    assert "The original beats" not in text
    assert "Ours against" not in text  # nothing follows, so nothing is claimed


def test_a_score_by_which_copying_is_more_real_than_real_pictures_tells_nothing(results: Path) -> None:
    """For few pictures whose inputs have the same content as the targets, other metrics decide."""
    path = results / EXPERIMENT / "reference" / "evaluation.json"
    edit_json(path, lambda data: data["rows"]["input copied"].update(fid=60.0))
    _, text = table(results)
    assert "The original beats *input copied* on KID and L1 (KID" in text
    assert (
        "By FID *input copied* scores better than real pictures against other real ones (FID 60.0 against 69.8)" in text
    )
    edit_json(results / EXPERIMENT / "original" / "evaluation.json", lambda data: data.update(kid=0.06))
    _, text = table(results)
    assert "**Warning: the original does not beat *input copied* on KID (" in text


def test_once_for_all_verdict(results: Path) -> None:
    _, text = table(results)
    assert "The smallest subnet improved in once-for-all training (L1 0.2140 → 0.0803;" in text
    edit_json(results / EXPERIMENT / "supernet" / "metrics.json", lambda data: data.update(improved=False))
    _, text = table(results)
    assert "**Warning: the smallest subnet did not improve" in text
    edit_json(results / EXPERIMENT / "supernet" / "metrics.json", lambda data: data.update(l1_trained=False))
    _, text = table(results)
    assert "Warning: the smallest subnet" not in text
    assert "its objective has no L1" in text


def test_ours_is_compared_in_numbers(results: Path) -> None:
    _, text = table(results)
    assert "FID +7.5, KID × 10³ +5.79, L1 +0.0056 (+9.2%)" in text
    assert "Ours against the uniform narrow generator: better on FID, KID and L1." in text
    edit_json(results / EXPERIMENT / "narrow" / "evaluation.json", lambda data: data.update(fid=1.0, kid=-0.5))
    _, text = table(results)
    assert "better on L1, not better on FID and KID." in text


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        ("original/evaluation.json", "original"),
        ("narrow/evaluation.json", "narrow"),
        ("subnet/evaluation.json", "subnet"),
        ("finetune/evaluation.json", "finetune"),
        ("reference/evaluation.json", "reference"),
        ("benchmark/benchmark.json", "benchmark"),
        ("search/selection.json", "search"),
        ("supernet/metrics.json", "supernet"),
    ],
)
def test_a_missing_file_names_the_stage_and_leaves_nothing(results: Path, file: str, stage: str) -> None:
    (results / EXPERIMENT / file).unlink()
    with pytest.raises(GancompError, match=rf"{file}: missing; run the stage '{stage}' first"):
        table(results)
    assert not (results / EXPERIMENT / "tables").exists()


def test_a_benchmark_of_another_network_is_refused(results: Path) -> None:
    path = results / EXPERIMENT / "benchmark" / "benchmark.json"
    edit_json(path, lambda data: data["rows"]["narrow"].update(macs=5))
    with pytest.raises(
        GancompError, match=r"benchmark\.json: macs of 'narrow' is 5, but it was evaluated with 81500000"
    ):
        table(results)
    edit_json(path, lambda data: data["rows"].pop("subnet"))
    edit_json(path, lambda data: data["rows"]["narrow"].update(macs=81_500_000))
    with pytest.raises(GancompError, match="no subnet or finetune"):
        table(results)


def test_fine_tuned_and_not_share_their_measurement(results: Path) -> None:
    path = results / EXPERIMENT / "benchmark" / "benchmark.json"
    edit_json(path, lambda data: data["rows"].update(finetune=data["rows"].pop("subnet")))
    rows, _ = table(results)
    assert rows[2]["latency_pytorch_median_ms"] == rows[3]["latency_pytorch_median_ms"] == "16.3"


def test_stages_of_a_base_are_read_from_its_folder(results: Path) -> None:
    alone, _ = table(results)
    (results / "base").mkdir()
    shutil.move(results / EXPERIMENT / "original", results / "base" / "original")
    write_tables(Subject(Folders(results, EXPERIMENT, {"original": "base"})))
    with (results / EXPERIMENT / "tables" / "table.csv").open(newline="") as stream:
        assert list(csv.DictReader(stream)) == alone


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.357, "0.357"),
        (0.9996, "1.00"),
        (4.9938, "4.99"),
        (9.999, "10.0"),
        (99.96, "100"),
        (1234.5, "1,234"),
    ],
)
def test_three_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_macs_are_in_giga_or_mega_by_magnitude() -> None:
    assert quantity(56_831_770_624) == "56.8 G"
    assert quantity(4_993_843_200) == "4.99 G"
    assert quantity(357_000_000) == "357 M"


# --- other metrics, other models ---------------------------------------------------------------


def heads(text: str) -> list[str]:
    """The heads of the Markdown table."""
    line = next(line for line in text.splitlines() if line.startswith("| Generator"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_declared_metric_leads_and_its_direction_is_respected(results: Path) -> None:
    make_judged(results)
    rows, text = table(results, metric="miou", perceptual="efficientnet-lite0")
    assert heads(text)[6:10] == ["mIoU % ↑", "FID ↓", "KID × 10³ ↓", "L1 ↓"]
    assert markdown_row(text, "**Ours**")[6:10] == ["38.50", "95.8", "21.11", "0.0668"]
    assert markdown_row(text, "real against real")[6] == "52.00"
    assert float(rows[3]["miou"]) == 0.385
    assert "selected its winner, with the highest mIoU, on 160 pictures" in text
    assert "mIoU % −2.50, FID +7.5" in text
    assert "higher is better for mIoU; lower is better for FID, KID and L1." in text
    assert "Ours against the uniform narrow generator: better on mIoU, FID, KID and L1." in text
    assert "it reaches 52.00 %; always answering the most frequent class reaches 6.00 %" in text
    assert "The perceptual loss of the trainings is that of efficientnet-lite0." in text
    assert "LPIPS is not there." in text
    _, text = table(results, metric="kid")
    assert heads(text)[6:10] == ["KID × 10³ ↓", "FID ↓", "L1 ↓", "mIoU % ↑"]


def test_more_miou_is_better_and_less_is_not(results: Path) -> None:
    make_judged(results)
    edit_json(results / EXPERIMENT / "narrow" / "evaluation.json", lambda data: data.update(miou=0.4))
    _, text = table(results, metric="miou")
    assert "better on FID, KID and L1, not better on mIoU." in text


def test_painted_classes_are_beaten_by_looks_alone(results: Path) -> None:
    """The original's L1 of 0.0612 is worse than the paint's 0.05, which no honest picture of texture beats."""
    make_judged(results)
    _, text = table(results, metric="miou")
    assert "The original beats *class colours* on FID and KID (FID 88.3 against 121.5" in text
    assert "*Class colours* paints each class" in text
    assert "*Input copied* returns" not in text
    edit_json(results / EXPERIMENT / "original" / "evaluation.json", lambda data: data.update(fid=130.0))
    _, text = table(results, metric="miou")
    assert "**Warning: the original does not beat *class colours* on FID (" in text


def test_what_was_not_measured_has_no_column_and_a_reason(results: Path) -> None:
    make_unpaired(results)
    rows, text = table(results)
    assert heads(text)[6:8] == ["FID ↓", "KID × 10³ ↓"]
    assert heads(text)[8].startswith("Latency")
    assert {row["l1_share_of_range"] for row in rows} == {row["lpips"] for row in rows} == {""}
    assert "L1 and LPIPS need the truth." in text
    assert "L1 is the mean absolute difference" not in text
    assert "FID +7.5, KID × 10³ +5.79; lower is better." in text
    assert "L1 0.2140 → 0.0803; the largest: L1 0.0810 → 0.0690; to the teacher's outputs" in text


def test_lpips_has_a_column_where_it_was_measured(results: Path) -> None:
    for stage in SCORES:
        edit_json(results / EXPERIMENT / stage / "evaluation.json", lambda data: data.update(lpips=0.2))
    rows, text = table(results)
    assert heads(text)[6:10] == ["FID ↓", "KID × 10³ ↓", "L1 ↓", "LPIPS ↓"]
    assert markdown_row(text, "real against real")[9] == "–"
    assert rows[0]["lpips"] == "0.2"
    assert "LPIPS +0.0000 (+0.0%)" in text
    assert "LPIPS is the mean perceptual distance" in text


def test_imported_generators_are_named(results: Path) -> None:
    make_unpaired(results)
    _, text = table(results)
    imported = "was not trained here but imported: latest_net_G.pth (sha256 abababababab…)"
    assert f"The original {imported}. The teacher {imported}, without its discriminator: distillation" in text


def test_all_targets_are_said(results: Path) -> None:
    assert "against all real targets" in table(results, all_targets=True)[1]
    assert "against all real targets" not in table(results)[1]


def test_an_original_alone(results: Path) -> None:
    folders = make_alone(results)
    write_tables(Subject(folders, title="A U-Net"))
    text = (results / EXPERIMENT / "tables" / "table.md").read_text(encoding="utf-8")
    with (results / EXPERIMENT / "tables" / "table.csv").open(newline="") as stream:
        rows = [row["row"] for row in csv.DictReader(stream)]
    assert rows == ["Original", "real against real", "input copied", "mean colour"]
    assert "The original beats *input copied*" in text
    assert "Scored on 290 validation pictures, by which no stage selected anything. Few" in text
    assert "Ours" not in text
    assert "once-for-all" not in text


def test_further_scores_have_a_table_of_their_own_unless_one_of_them_chose(results: Path) -> None:
    """Results of earlier versions have none."""
    write_tables(subject(results))
    page = results / EXPERIMENT / "tables" / "table.md"
    assert "SSIM" not in page.read_text()
    for stage, ssim in (("original", 0.81), ("finetune", 0.79), ("narrow", 0.7), ("subnet", 0.78)):
        edit_json(
            results / EXPERIMENT / stage / "evaluation.json",
            lambda data, ssim=ssim: data.update(ssim=ssim, psnr=20 + ssim, coverage=ssim / 2),
        )
    write_tables(subject(results))
    lines = page.read_text().splitlines()
    assert "| Generator | SSIM ↑ | PSNR (dB) ↑ | Coverage (k = 5) ↑ |" in lines
    assert "| **Ours** | 0.7900 | 20.79 | 0.395 |" in lines
    assert "| mean colour | – | – | – |" in lines
    assert "SSIM is the mean structural similarity (Gaussian window of 11 × 11" in lines[-1]
    with (results / EXPERIMENT / "tables" / "table.csv").open(encoding="utf-8") as stream:
        assert [row["ssim_gaussian_11x11"] for row in csv.DictReader(stream)] == [
            "0.81",
            "0.7",
            "0.78",
            "0.79",
            "",
            "",
            "",
        ]

    write_tables(subject(results, metric="ssim"))
    lines = page.read_text().splitlines()
    assert any("| SSIM ↑ | FID ↓ |" in line for line in lines)
    assert "| Generator | PSNR (dB) ↑ | Coverage (k = 5) ↑ |" in lines
    assert any("better on SSIM" in line for line in lines)


def test_a_permutation_test_tells_apart_or_does_not(results: Path) -> None:
    """If each picture's values are known; nothing for results of earlier versions."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=290) * 0.01

    def with_each(stage: str, **each: np.ndarray) -> None:
        path = results / EXPERIMENT / stage / "evaluation.json"
        made = {metric: column.tolist() for metric, column in each.items()}
        edit_json(path, lambda data: data.update(each=made))

    page = results / EXPERIMENT / "tables" / "table.md"
    write_tables(subject(results))
    assert "permutation" not in page.read_text()
    with_each("finetune", l1=SCORES["finetune"]["l1"] + values, kid=SCORES["finetune"]["kid"] + values)
    with_each("original", l1=SCORES["original"]["l1"] + values, kid=draw.normal(size=290))
    with_each("narrow", l1=SCORES["narrow"]["l1"] + values)
    write_tables(subject(results))
    against_original, against_narrow = (
        line for line in page.read_text().splitlines() if line.startswith("Ours against")
    )
    assert "On the same pictures: worse by L1 (p < 0.001); cannot be told apart by KID (p 0." in against_original
    assert against_narrow.endswith("On the same pictures: better by L1 (p < 0.001).")
    assert "9,999 random swaps" in page.read_text()
    with_each("narrow", l1=values[:5])
    with pytest.raises(GancompError, match=r"each\.l1: 5 values of 290 pictures"):
        write_tables(subject(results))


def test_the_small_print_says_how_many_subnets_tie_with_the_winner(results: Path) -> None:
    path, page = results / EXPERIMENT / "search" / "selection.json", results / EXPERIMENT / "tables" / "table.md"
    best = read_json(path)["winner"]
    cheaper = best | {"index": best["index"] + 1, "macs": best["macs"] // 2, "fid": best["fid"] + 1}

    def told(**chosen: Any) -> str:
        edit_json(path, lambda data: data.update(chosen))
        write_tables(subject(results))
        return page.read_text()

    assert "cannot be told apart from the best" not in told()
    assert "All other subnets are worse" in told(best=best, tied=1)
    text = told(tied=1234)
    assert "with the lowest FID" in text
    assert "1,234 of these subnets, including the best, cannot be told apart from the best" in text
    assert "and it is the winner" in text
    text = told(winner=cheaper)
    assert "selected its winner, by FID, on" in text
    assert f"the winner (FID {best['fid'] + 1:.1f}, " in text
    assert f"was preferred to the best ({best['fid']:.1f}, " in text
