"""`gancomp verify`: results from elsewhere must be complete, intact, and of these settings and pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gancomp.config.loading import load
from gancomp.config.settings import Config
from gancomp.data.manifest import hash_of
from gancomp.errors import GancompError
from gancomp.nets import build_generator, save_generator
from gancomp.pipeline import paths
from gancomp.pipeline.adopt import first_difference, verify_results
from gancomp.pipeline.files import file_sha256, read_json, write_csv, write_json, write_text
from gancomp.pipeline.signatures import signature, stage_settings
from gancomp.pipeline.stages import generator_spec

ROOT = Path(__file__).parents[2]
RESULTS = Path("results/tiny")


@pytest.fixture(scope="module")
def config() -> Config:
    return load([ROOT / "config.yaml", ROOT / "config" / "tiny.yaml"])


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config) -> Path:
    """A data set's manifest, and the teacher, the export and the reference of `tiny`, with their hashes."""
    monkeypatch.chdir(tmp_path)
    sha256 = {f"{folder}/{name}.png": name * 64 for folder, name in (("train", "a"), ("train", "b"), ("val", "c"))}
    splits = {"train-1": ["train/a.png"], "train-2": ["train/b.png"], "val": ["val/c.png"]}
    manifest = {"name": "emoji-tiny", "dataset": {}, "size": [32, 32], "splits": splits, "sha256": sha256}
    data_hash = hash_of(sha256)
    manifest |= {"data_hash": data_hash, "attribution": "none", "rejected": {}}
    write_json(paths.dataset("emoji-tiny") / "manifest.json", manifest)

    for stage in ("teacher", "export"):
        generator = build_generator(generator_spec(config, "tiny", "distill"))
        own = signature(config, "tiny", stage)
        save_generator(RESULTS / stage / "model.safetensors", generator, experiment="tiny", stage=stage, signature=own)
    write_json(RESULTS / "teacher/config.json", stage_settings(config, "tiny", "teacher"))
    write_json(RESULTS / "teacher/metrics.json", {"data_hash": data_hash})
    write_json(RESULTS / "export/card.json", {"sha256": file_sha256(RESULTS / "export/model.safetensors")})
    write_json(RESULTS / "reference/evaluation.json", {"data_hash": data_hash})
    seal()
    return RESULTS


def seal() -> None:
    """The output of `sha256sum` for every file of a stage."""
    files = sorted(path for path in RESULTS.glob("*/*"))
    lines = [f"{file_sha256(path)}  ./{path.relative_to(RESULTS)}\n" for path in files]
    write_text(RESULTS / "SHA256SUMS", "".join(lines))


def refused(config: Config) -> str:
    with pytest.raises(GancompError) as caught:
        verify_results(config, "tiny")
    return str(caught.value)


def test_what_agrees_is_taken(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    verify_results(config, "tiny")
    said = capsys.readouterr().out
    assert "agree: teacher, export, reference" in said
    assert "SHA256SUMS: 6 files agree" in said


def test_without_sums_it_says_that_no_hash_was_checked(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    (RESULTS / "SHA256SUMS").unlink()
    verify_results(config, "tiny")
    assert "no file hashes were checked" in capsys.readouterr().out


def test_other_settings_are_named_by_key() -> None:
    files = [ROOT / "config.yaml", ROOT / "config" / "tiny.yaml"]
    message = refused(load(files, {"experiments": {"tiny": {"teacher": {"lr": 0.0001}}}}))
    assert "teacher/config.json: made with other settings: settings.teacher.lr: 0.0002, but 0.0001" in message
    assert "teacher/model.safetensors" in message


def test_other_pictures_are_refused(config: Config) -> None:
    write_json(RESULTS / "teacher/metrics.json", {"data_hash": "0" * 64})
    seal()
    assert "teacher/metrics.json: made on other pictures" in refused(config)


def test_an_import_of_another_file_is_refused(config: Config, tmp_path: Path) -> None:
    source = tmp_path / "latest_net_G.pth"
    data_hash = read_json(RESULTS / "teacher/metrics.json")["data_hash"]
    imported = {"checkpoint": str(source), "sha256": "0" * 64}
    write_json(RESULTS / "teacher/metrics.json", {"data_hash": data_hash, "imported": imported})
    seal()
    verify_results(config, "tiny")  # it need not be here
    source.write_bytes(b"another")
    assert "teacher/metrics.json: imported from another file than" in refused(config)


def test_an_original_alone(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """Stages that the experiment does not have are not required, and are ignored."""
    experiment = config.experiments["tiny"].model_copy(update={"teacher": None, "distill": None, "supernet": None})
    alone = config.model_copy(update={"experiments": {"tiny": experiment}})
    verify_results(alone, "tiny")
    assert "agree: reference\n" in capsys.readouterr().out


def test_a_changed_file_is_refused(config: Config) -> None:
    card = RESULTS / "export/card.json"
    card.write_text(card.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert "export/card.json: truncated or changed" in refused(config)


def test_every_damaged_file_is_named_without_sums(config: Config) -> None:
    (RESULTS / "SHA256SUMS").unlink()
    write_csv(RESULTS / "teacher/table.csv", ["fid"], [{"fid": "98.4"}], checked=True)
    for file, old, new in (
        ("teacher/metrics.json", '"data_hash": "', '"data_hash": "f'),
        ("teacher/table.csv", "98.4", "18.4"),
        ("reference/evaluation.json", '"data_hash": "', '"data_hash": "f'),
    ):
        path = RESULTS / file
        path.write_text(path.read_text().replace(old, new))
    message = refused(config)
    for file in ("teacher/metrics.json: damaged", "teacher/table.csv, line 2: damaged", "evaluation.json: damaged"):
        assert file in message


def test_a_missing_file_is_refused(config: Config) -> None:
    (RESULTS / "export/card.json").unlink()
    assert "export/card.json: missing" in refused(config)


def test_another_generator_than_the_card_describes_is_refused(config: Config) -> None:
    write_json(RESULTS / "export/card.json", {"sha256": "0" * 64})
    seal()
    assert "is not the file that card.json describes" in refused(config)


def test_a_stage_without_its_settings_is_refused(config: Config) -> None:
    (RESULTS / "teacher/config.json").unlink()
    seal()
    assert "teacher/config.json: missing" in refused(config)


@pytest.mark.parametrize("file", ["../../config.yaml", "/etc/hostname", "out/hostname"])
def test_a_file_outside_the_folder_is_refused(config: Config, file: str) -> None:
    (RESULTS / "out").symlink_to("/etc")
    write_text(RESULTS / "SHA256SUMS", f"{'0' * 64}  {file}\n")
    assert "line 1: " in (message := refused(config))
    assert "is outside this folder" in message


def test_a_line_that_is_no_sum_is_refused(config: Config) -> None:
    write_text(RESULTS / "SHA256SUMS", "hello\n")
    assert "line 1: expected a sha256 and a file" in refused(config)


def test_nothing_there_is_an_error(config: Config) -> None:
    shutil.rmtree(RESULTS)
    assert "contains no stage of 'tiny'" in refused(config)


def test_first_difference_finds_a_missing_key() -> None:
    found = read_json(RESULTS / "teacher/config.json")
    expected = {**found, "settings": {**found["settings"], "added": 1}}
    assert first_difference(found, expected) == "settings.added: None, but 1"
    assert first_difference(found, found) == ""
