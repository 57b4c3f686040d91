"""`gancomp compress`: a checkpoint and a folder of pictures become a configuration and a run of the workflow."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from gancomp.compression import run as run_module
from gancomp.compression import workflow
from gancomp.compression.experiment import usual_epochs
from gancomp.compression.pictures import pictures_in
from gancomp.compression.run import compress
from gancomp.compression.space import MOST_SCORED, search_space, student_block
from gancomp.config.checks import spec_of
from gancomp.config.loading import load
from gancomp.config.searching import budget_macs
from gancomp.config.settings import Config
from gancomp.convert.generators import convert, load_original
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.measure.speed import Speed
from gancomp.nets import load_generator, save_generator
from gancomp.spec import GeneratorSpec, Role, ValueRange
from tests.convert.foreign import Resnet, Spade, Unet, multiscale_patch_gan, patch_gan, saved
from tests.elastic import zoo

ROOT = Path(__file__).parents[2]
SMALL = {"size": (32, 48), "epochs": 4}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")  # where the stages find the tests' builders
    return tmp_path


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int | None, str]]:
    """What the workflow would have been told: its configuration's text, cores, and whether to run or to plan."""
    calls: list[Any] = []

    def run(configuration: Path, cores: int | None) -> None:
        calls.append((configuration.read_text(), cores, "run"))

    def planned(configuration: Path, cores: int | None) -> str:
        calls.append((configuration.read_text(), cores, "planned"))
        return "the jobs"

    monkeypatch.setattr(run_module, "run_snakemake", run)
    monkeypatch.setattr(run_module, "planned_jobs", planned)
    monkeypatch.setattr(run_module, "refuse_without_room", lambda config, name: None)
    monkeypatch.setattr(run_module, "closing", lambda config, name: "done")
    return calls


def pictures(*folders: str, count: int = 24) -> Path:
    """Noise in colour; of label maps, in gray."""
    data = Path("my pictures")
    noise = np.random.default_rng(0).integers(0, 6, (4, 8, 3), np.uint8)
    for name in folders:
        (data / name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(noise[..., 0] if "labels" in name else noise).save(data / name / f"{index}.png")
    return data


def resnet(**options: Any) -> Path:
    return saved(Resnet((16,) * 8, 6, **options), Path("latest_net_G.pth"))


def written(name: str) -> Config:
    return load([f"{name}.yaml"])


# --- the three layouts -------------------------------------------------------------------------


def test_aligned_pairs_are_pix2pix(folder: Path, called: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    data = pictures("train", "test")
    compress(resnet(kind="batch", dropout=True), data, "4x", direction="BtoA", **SMALL)
    config = written("my_pictures-4x")
    experiment, dataset = config.experiments["my_pictures-4x"], config.datasets["my_pictures-4x"]
    assert config.run == ("my_pictures-4x",)
    assert (experiment.model, dataset.source, dataset.direction, dataset.kind) == (
        "pix2pix",
        "aligned",
        "BtoA",
        "pairs",
    )
    assert (dataset.path, dataset.size, dataset.load_size) == ("my pictures", (32, 48), (35, 53))
    imported = GeneratorSpec(widths=16, size=(32, 48), blocks=6, norm="batch")
    assert spec_of(experiment, dataset, "original") == spec_of(experiment, dataset, "teacher") == imported
    assert spec_of(experiment, dataset, "distill").block == "separable"
    assert experiment.original.checkpoint == experiment.teacher.checkpoint == "latest_net_G.pth"
    assert not experiment.distill.prune
    assert experiment.search.budget == "4x"
    assert (experiment.distill.epochs_const, experiment.supernet.epochs_decay) == (2, 4)
    told = capsys.readouterr().out
    assert "a new one, which costs quality" in told
    assert "24 training pictures at 32x48" in told
    assert told.endswith("done\n")


def test_a_unet_is_compressed_densely(folder: Path, called: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    """pix2pix's default; its students are dense, so the teacher's filters fit them."""
    data, file = pictures("train", "test"), saved(Unet(8, 5, dropout=True), Path("latest_net_G.pth"))
    compress(file, data, "8x", name="mine", **SMALL | {"size": (32, 32)})
    config = written("mine")
    experiment, dataset = config.experiments["mine"], config.datasets["mine"]
    student = spec_of(experiment, dataset, "distill")
    assert (student.family, student.block, student.downs) == ("unet", "dense", 5)
    assert student.widths == experiment.supernet.largest
    assert experiment.distill.prune
    assert "dense subnets of" in capsys.readouterr().out


def test_a_checkpoint_of_several_networks_needs_a_key(
    folder: Path, called: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = pictures("train", "test"), resnet()
    tensors = torch.load(file)
    torch.save({"netG_A": tensors, "netG_B": tensors}, file)
    assert "choose one: --key NAME" in refused(file, data)
    compress(file, data, "4x", name="mine", key="netG_B", **SMALL)
    experiment = written("mine").experiments["mine"]
    assert experiment.original.key == experiment.teacher.key == "netG_B"
    assert "assumed        instance norm without parameters" in capsys.readouterr().out


def test_a_norm_that_a_configuration_cannot_say_is_refused(folder: Path, called: list[Any]) -> None:
    told = refused(Resnet((16,) * 8, 6, "none"), pictures("train", "test"), norm="instance", size=(32, 48))
    assert "configuration needs generator.norm: none" in told


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_statistics_that_a_file_cannot_say_are_asked_for_and_written_down(
    folder: Path, called: list[Any], statistics: Any
) -> None:
    data, file = pictures("train", "test"), resnet(kind="instance-affine-tracked")
    assert "Set which statistics it uses: --statistics running" in refused(file, data, size=(32, 48))
    compress(file, data, "4x", name="mine", statistics=statistics, **SMALL)
    assert written("mine").experiments["mine"].original.statistics == statistics


def test_a_sample_that_the_generator_does_not_draw_stops_it(folder: Path, called: list[Any]) -> None:
    data = pictures("train", "test")
    sample = (data / "train" / "0.png", data / "train" / "1.png")
    Image.fromarray(np.zeros((4, 8, 3), np.uint8)).save(sample[1])
    with pytest.raises(GancompError, match="is not this generator's output"):
        compress(resnet(), data, "4x", name="mine", sample=sample, **SMALL)
    assert not called
    assert not Path("mine.yaml").exists()


@pytest.mark.parametrize(("hidden", "pruned"), [(20, True), (5, False)])
def test_a_teacher_of_too_few_hidden_channels_is_not_pruned(
    folder: Path, called: list[Any], hidden: int, pruned: bool
) -> None:
    file = saved(Spade((8,) * 8, 7, False, False, "instance", hidden), folder / "net.pth")
    options: dict[str, Any] = {"size": (64, 96), "upsampling": "normal", "norm": "instance"}
    compress(file, pictures("images", "labels"), "2x", name="mine", **options)
    distill = written("mine").experiments["mine"].distill
    assert distill is not None
    assert (max(distill.widths) > 2, distill.prune) == (True, pruned)


@pytest.mark.parametrize("held_out", [(), ("testA", "testB"), ("valA", "valB")])
def test_two_domains_are_cyclegan(folder: Path, called: list[Any], held_out: tuple[str, ...]) -> None:
    discriminator = saved(patch_gan(3, 8, 2), folder / "latest_net_D.pth")
    data = pictures("trainA", "trainB", *held_out)
    compress(resnet(separable=True), data, "3x", name="mine", discriminator=discriminator, **SMALL)
    config = written("mine")
    experiment, dataset = config.experiments["mine"], config.datasets["mine"]
    assert (experiment.model, dataset.kind) == ("cyclegan", "unpaired")
    assert (dataset.a, dataset.b) == ("my pictures/trainA", "my pictures/trainB")
    expected = tuple(f"my pictures/{name}" for name in held_out) or (None, None)
    assert (dataset.val_a, dataset.val_b) == expected
    assert (experiment.discriminator.ndf, experiment.discriminator.layers) == (8, 2)
    assert experiment.teacher.discriminator == str(discriminator)
    assert experiment.teacher.block == "separable"
    assert experiment.distill.prune  # filters of a separable teacher do fit


@pytest.mark.parametrize(("known_discriminator", "hidden"), [(True, None), (False, 20)])
def test_label_maps_are_gaugan(folder: Path, called: list[Any], known_discriminator: bool, hidden: int | None) -> None:
    generator = saved(Spade((8,) * 8, 7, more=False, hidden=hidden or 0), folder / "latest_net_G.pth")
    discriminator = saved(multiscale_patch_gan(10, 4, 3, 2), folder / "latest_net_D.pth")
    compress(
        generator,
        pictures("images", "labels", "val_images", "val_labels"),
        "3x",
        name="mine",
        discriminator=discriminator if known_discriminator else None,
        size=(64, 96),
        upsampling="normal",
    )
    config = written("mine")
    experiment, dataset = config.experiments["mine"], config.datasets["mine"]
    assert (experiment.model, dataset.kind, dataset.input_channels) == ("gaugan", "labels", 7)
    assert (dataset.labels, dataset.instances, dataset.val_images) == (
        "my pictures/labels",
        None,
        "my pictures/val_images",
    )
    teacher = spec_of(experiment, dataset, "teacher")
    assert (teacher.upsampling, teacher.hidden) == ("normal", hidden)
    assert spec_of(experiment, dataset, "distill").hidden is None
    shape = experiment.discriminator
    assert (shape.ndf, shape.layers, shape.scales) == ((4, 3, 2) if known_discriminator else (64, 3, 2))


def test_a_generator_of_ours_knows_its_size(folder: Path, called: list[Any]) -> None:
    convert(resnet(inputs=1), "mine.safetensors", (24, 40))
    compress(Path("mine.safetensors"), pictures("train", "val"), "3x", name="own")
    dataset = written("own").datasets["own"]
    assert (dataset.size, dataset.input_channels) == ((24, 40), 1)


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (3, 1), (1, 4)])
@pytest.mark.parametrize("layout", [("train", "val"), ("trainA", "trainB")])
def test_what_a_generator_makes_is_what_the_data_set_has(
    folder: Path, called: list[Any], inputs: int, outputs: int, layout: tuple[str, str], capsys: Any
) -> None:
    generator = saved(Resnet((16,) * 8, 6, inputs=inputs, outputs=outputs), Path("G.pth"))
    unpaired = layout[0] == "trainA"
    seen = saved(patch_gan(outputs if unpaired else inputs + outputs, 8, 2), Path("D.pth"))
    compress(generator, pictures(*layout), "3x", name="own", discriminator=seen, size=(32, 32))
    config = written("own")
    for stage in ("original", "teacher", "distill"):
        spec = spec_of(config.experiments["own"], config.datasets["own"], stage)
        assert (spec.in_channels, spec.out_channels) == (inputs, outputs)
    assert f"{inputs} → {outputs} channels" in capsys.readouterr().out


def test_a_generator_of_numbers_brings_its_ranges(folder: Path, called: list[Any]) -> None:
    convert(resnet(inputs=1, outputs=1), "plain.safetensors", (32, 32))
    generator = load_generator("plain.safetensors")
    ranges: dict[Role, tuple[int, int]] = {"input": (-1024, 3072), "target": (0, 5000)}
    generator.ranges = {role: ValueRange(low=low, high=high, type="int16") for role, (low, high) in ranges.items()}
    save_generator("own.safetensors", generator, experiment="", stage="export", signature="s")
    convert("own.safetensors", "ct.safetensors")
    compress(Path("ct.safetensors"), pictures("train", "val"), "3x", name="own")
    dataset = written("own").datasets["own"]
    assert (dataset.range, dataset.target_range) == tuple(ranges.values())


# --- networks of one's own ---------------------------------------------------------------------


def build(wide: int = 8) -> nn.Module:
    """A small network that no code of gancomp knows."""
    return zoo.Johnson(wide)


BUILDER = f"{__name__}:build"


def test_a_builder_and_its_weights(folder: Path, called: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(build(16).state_dict(), "net.pth")
    data = pictures("train", "val")
    compress(BUILDER, data, "6x", weights=Path("net.pth"), arguments={"wide": 16}, name="own", **SMALL)
    config = written("own")
    experiment, dataset = config.experiments["own"], config.datasets["own"]
    original, student = (spec_of(experiment, dataset, stage) for stage in ("original", "distill"))
    assert original.network
    assert (original.network.builder, original.network.keywords()) == (BUILDER, {"wide": 16})
    assert (original.widths, original.block, student.block) == ((16, 32, 32, 32, 16), "dense", "separable")
    assert not experiment.distill.prune  # a dense teacher's filters do not fit
    assert budget_macs("6x", original) >= profile(student.with_widths(experiment.supernet.smallest)).macs
    told = capsys.readouterr().out
    assert f"a dense network of {BUILDER}" in told
    assert "assumed        inputs and outputs in [-1, 1]" in told
    compress(BUILDER, data, "6x", weights=Path("net.pth"), arguments={"wide": 16}, name="own", **SMALL)  # goes on
    torch.save(build(12).state_dict(), "net.pth")
    with pytest.raises(GancompError, match=r"own\.network\.json: exists and describes another network"):
        compress(BUILDER, data, "6x", weights=Path("net.pth"), arguments={"wide": 12}, name="own", **SMALL)


def test_a_module_of_python(folder: Path, called: list[Any]) -> None:
    """Its class builds the like of it where no builder is named; what it learned is written for the stages."""
    torch.manual_seed(5)
    network, data = zoo.Johnson(), pictures("train", "val")
    compress(network, data, "6x", name="own", **SMALL)
    config = written("own")
    spec = spec_of(config.experiments["own"], config.datasets["own"], "original")
    assert spec.network
    assert spec.network.builder == "tests.elastic.zoo:Johnson"
    loaded, x = load_original("own.weights.safetensors", spec), torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), network.eval()(x))
    # Again: the same weights are not written again, or all stages would run anew.
    os.utime("own.weights.safetensors", (1, 1))
    compress(network, data, "6x", name="own", **SMALL)
    assert Path("own.weights.safetensors").stat().st_mtime == 1
    with torch.no_grad():
        network.conv1.weight += 1
    compress(network, data, "6x", name="own", **SMALL)
    assert Path("own.weights.safetensors").stat().st_mtime > 1


def test_a_module_that_its_class_does_not_build_needs_a_builder(folder: Path, called: list[Any]) -> None:
    data = pictures("train", "val")
    with pytest.raises(GancompError, match=r"zoo:Johnson: called with \{\} builds another .*builder='package"):
        compress(zoo.Johnson(16), data, "6x", **SMALL)
    with pytest.raises(GancompError, match=r"missing .* required positional .*builder='package"):
        compress(Unet(4, 4), data, "6x", **SMALL)
    compress(zoo.Johnson(16), data, "6x", builder=BUILDER, arguments={"wide": 16}, name="own", **SMALL)


def test_a_network_of_many_widths_evolves(folder: Path, called: list[Any]) -> None:
    compress(
        zoo.pix2pixhd(8, 4, 3),
        pictures("train", "val"),
        "4x",
        builder="tests.compression.test_run:build_deep",
        name="own",
        **SMALL | {"size": (32, 32)},
    )
    experiment = written("own").experiments["own"]
    assert experiment.supernet.subnets > MOST_SCORED
    assert experiment.search.method == "evolution"


def build_deep() -> nn.Module:
    return zoo.pix2pixhd(8, 4, 3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "builds an untrained network; name its state dict by --weights"),
        ({"weights": Path("net.pth"), "norm": "none"}, "--norm: is for files that do not contain it"),
        ({"weights": Path("other.pth")}, r"other\.pth: does not fit .*: lacks conv1\.bias, conv1\.weight"),
        ({"weights": Path("unbiased.pth")}, r"unbiased\.pth: does not fit .*: lacks conv1\.bias$"),
        ({"weights": Path("no.pth")}, r"no\.pth: does not fit .*: no such file"),
    ],
)
def test_builders_that_cannot_be_used(folder: Path, called: list[Any], options: dict[str, Any], told: str) -> None:
    torch.save(build().state_dict(), "net.pth")
    torch.save(nn.Conv2d(3, 3, 3).state_dict(), "other.pth")
    torch.save({name: t for name, t in build().state_dict().items() if name != "conv1.bias"}, "unbiased.pth")
    with pytest.raises(GancompError, match=told):
        compress(BUILDER, pictures("train", "val"), "6x", **options, **SMALL)
    assert not list(folder.glob("*.yaml"))
    assert not list(folder.glob("*.json"))


def test_a_module_that_the_stages_do_not_find_is_refused(
    folder: Path, called: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test finds it, as a script finds what lies beside it; the stages run elsewhere."""
    torch.save(build().state_dict(), "net.pth")
    monkeypatch.delenv("PYTHONPATH")
    with pytest.raises(GancompError, match=r"do not find the module \S*test_run there .* PYTHONPATH"):
        compress(BUILDER, pictures("train", "val"), "6x", weights=Path("net.pth"), **SMALL)


def test_options_of_builders_are_not_for_checkpoints(folder: Path, called: list[Any]) -> None:
    with pytest.raises(GancompError, match="--arguments: applies to a builder"):
        compress(resnet(), pictures("train", "val"), "4x", arguments={"wide": 3}, **SMALL)


def test_epochs_follow_the_number_of_pictures(folder: Path, called: list[Any]) -> None:
    compress(resnet(), pictures("train", "val"), "3x", name="few", size=(32, 32))
    experiment = written("few").experiments["few"]
    assert experiment.distill.epochs_const + experiment.distill.epochs_decay == 200
    assert [usual_epochs(count) for count in (1, 3_000, 6_000, 10**6)] == [200, 100, 50, 10]


# --- running it --------------------------------------------------------------------------------


def test_the_same_command_again_continues(folder: Path, called: list[Any]) -> None:
    data = pictures("train", "val")
    compress(resnet(), data, "3x", cores=2, **SMALL)
    before = Path("my_pictures-3x.yaml").stat().st_mtime_ns
    compress(resnet(), data, "3x", cores=2, **SMALL)
    assert Path("my_pictures-3x.yaml").stat().st_mtime_ns == before
    assert called[0] == called[1] == (Path("my_pictures-3x.yaml").read_text(), 2, "run")


def test_a_configuration_of_other_content_stays(folder: Path, called: list[Any]) -> None:
    data = pictures("train", "val")
    Path("my_pictures-3x.yaml").write_text("run: []\n")
    with pytest.raises(GancompError, match=r"^my_pictures-3x\.yaml: exists with other content; .* --name$"):
        compress(resnet(), data, "3x", **SMALL)
    assert Path("my_pictures-3x.yaml").read_text() == "run: []\n"
    assert called == []


def test_a_name_of_the_folders_own_configuration_is_refused(folder: Path, called: list[Any]) -> None:
    Path("config.yaml").write_text("datasets: {mine: {source: earth, task: relief2photo, size: 64}}\n")
    with pytest.raises(GancompError, match=r"config\.yaml: has datasets\.mine already"):
        compress(resnet(), pictures("train", "val"), "3x", name="mine", **SMALL)


def test_a_dry_run_shows_all_and_writes_nothing(
    folder: Path, called: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gancomp.measure.cost.measure", lambda *_: Speed(1e-11, 1e6))
    data = pictures("train", "val")
    generator = resnet()
    before = sorted(folder.iterdir())
    compress(generator, data, "3x", dry_run=True, **SMALL)
    assert sorted(folder.iterdir()) == before
    ((text, _, how),) = called
    assert how == "planned"
    told = capsys.readouterr().out
    assert f"would write my_pictures-3x.yaml:\n\n{text}" in told
    assert "student 4 epochs, once-for-all network 8, winner 4, narrow baseline 4" in told
    shown = told.split("what a run of all stages costs")[1]
    order = ["dataset", "statistics", "original", "teacher", "distill", "supernet", "scores", "search", "subnet"]
    stages = [line.split()[0] for line in shown.splitlines() if line.startswith("  ")]
    assert [stage for stage in stages if stage in order] == order
    assert re.search(r"^  distill +\d+ +4 +\S+[MGT] +\S+ (s|min) +\S+MB +\S+[kM]B$", shown, re.MULTILINE), shown


SNAKEFILE = """
import json
configfile: "config.yaml"
rule all:
    output: "results/mine/export/card.json"
    threads: workflow.cores
    shell: "command -v gancomp && [ {threads} = 1 ] && echo '{{\\"macs\\": 1000000}}' > {output}"
"""


def test_the_workflow_runs_and_the_end_says_where_things_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "Snakefile").write_text(SNAKEFILE)
    monkeypatch.setattr(workflow, "project_folder", lambda: folder)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    compress(resnet(), pictures("train", "val"), "3x", name="mine", cores=1, **SMALL)
    told = capfd.readouterr().out
    assert re.search(r"^mine: \d+\.\dx fewer exact MACs \(.*G → 0\.001G\)$", told, re.MULTILINE)
    assert "results/mine/export/model.safetensors" in told
    assert "results/mine/report.html" in told


def test_a_dry_run_tells_the_jobs_and_the_cost_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "Snakefile").write_text(SNAKEFILE)
    monkeypatch.setattr(workflow, "project_folder", lambda: folder)
    monkeypatch.setattr(run_module, "estimate", lambda config, name: "the costs")
    compress(resnet(), pictures("train", "val"), "3x", name="mine", cores=1, dry_run=True, **SMALL)
    told = capfd.readouterr()
    shown = told.out.rpartition("}\n\n")[2]
    assert re.fullmatch(r"job +count\n-+ +-+\nall +1\ntotal +1\n\nthe costs\n", shown), shown
    assert not told.err


def test_a_full_disk_is_refused_before_anything_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gancomp.measure.cost.measure", lambda *_: Speed(1e-11, 1e6))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    data, generator = pictures("train", "val"), resnet()
    before = sorted(folder.iterdir())
    with pytest.raises(GancompError, match=r"^mine: needs about [\d.]+MB of disk, and 1kB are free here; [^\n]+$"):
        compress(generator, data, "3x", name="mine", **SMALL)
    assert sorted(folder.iterdir()) == before


def test_a_workflow_that_stops_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "Snakefile").write_text("rule all:\n    shell: 'false'\n")
    monkeypatch.setattr(workflow, "project_folder", lambda: folder)
    with pytest.raises(GancompError, match=r"^mine\.yaml: the workflow stopped"):
        compress(resnet(), pictures("train", "val"), "3x", name="mine", cores=1, **SMALL)


FAILING = """
rule all:
    input: "done"
rule dataset:
    output: "pictures"
    log: "results/mine/logs/dataset.log"
    shell: "echo all is well | tee {log:q} > {output}"
rule train:
    input: "pictures"
    output: "done"
    log: "results/mine/logs/train.log"
    shell: "(echo 'epoch 1'; echo 'SAYS'; exit 1) 2>&1 | tee {log:q}"
"""


@pytest.mark.parametrize(
    ("says", "told_by_stage"),
    [
        ("gancomp: error: the teacher is lost", "the teacher is lost"),
        ("KeyError: 3", "KeyError: 3"),
    ],
)
def test_the_stage_that_failed_has_the_last_word(
    folder: Path, monkeypatch: pytest.MonkeyPatch, says: str, told_by_stage: str
) -> None:
    (prefix,) = re.findall(r"^shell\.prefix\(.*\)$", (ROOT / "workflow/Snakefile").read_text(), re.MULTILINE)
    (folder / "Snakefile").write_text(f"{prefix}\n{FAILING.replace('SAYS', says)}")
    monkeypatch.setattr(workflow, "project_folder", lambda: folder)
    with pytest.raises(GancompError) as told:
        compress(resnet(), pictures("train", "val"), "3x", name="mine", cores=1, **SMALL)
    assert str(told.value) == (
        "mine.yaml: the workflow stopped; run the same command again to resume\n\n"
        f"results/mine/logs/train.log: {told_by_stage}"
    )


# --- what is refused ---------------------------------------------------------------------------


def refused(generator: nn.Module | Path, data: Path, budget: str = "3x", **options: Any) -> str:
    """The message, before which nothing was written."""
    path = generator if isinstance(generator, Path) else saved(generator, Path("latest_net_G.pth"))
    with pytest.raises(GancompError) as told:
        compress(path, data, budget, **({"size": (32, 32)} | options))
    assert not list(Path().glob("*.yaml"))
    return str(told.value)


def test_folders_that_are_not_known_are_shown_the_layouts(folder: Path, called: list[Any]) -> None:
    for data in (Path("absent"), pictures("photos", "train")):
        told = refused(Resnet((4,) * 8, 3), data)
        assert told.startswith(f"{data}: ")
        assert all(layout in told for layout in ("train/ and val/", "trainA/ and trainB/", "images/ and labels/"))


def test_folders_without_pictures_are_refused(folder: Path, called: list[Any]) -> None:
    for name in ("train", "val"):
        (folder / "empty" / name).mkdir(parents=True)
    assert "empty/train: holds no pictures" in refused(Resnet((4,) * 8, 3), Path("empty"))


@pytest.mark.parametrize("layout", [("train", "val"), ("trainA", "trainB")])
def test_too_few_pictures_for_the_splits_are_refused(folder: Path, called: list[Any], layout: tuple[str, str]) -> None:
    told = refused(Resnet((16,) * 8, 6), pictures(*layout, count=1))
    assert re.search(r"split \S+ has no pictures.*give it more pictures", told)
    assert called == []


def test_pictures_that_make_no_data_set_are_refused(folder: Path, called: list[Any]) -> None:
    data, generator = pictures("train", "val"), saved(Resnet((16,) * 8, 6), Path("G.pth"))
    Image.new("RGB", (7, 4)).save(data / "train" / "3.png")
    assert re.search(r"train/3\.png: is 7 pixels wide", refused(generator, data))
    (data / "train" / "3.png").write_bytes(b"\x89PNG")
    assert re.search(r"train/3\.png: not a picture that can be decoded", refused(generator, data))
    for path in data.glob("train/*"):
        Image.new("RGB", (8, 4)).save(path)
    assert re.search(r"split train-\d has no pictures", refused(generator, data))
    assert called == []


def test_a_photo_without_its_label_map_is_refused(folder: Path, called: list[Any]) -> None:
    spade = saved(Spade((8,) * 8, 7, more=False), folder / "spade.pth")
    data = pictures("images", "labels")
    (data / "labels" / "3.png").unlink()
    assert "images/3.png: has no partner" in refused(spade, data, size=(64, 64), upsampling="normal")
    assert called == []


def test_generators_and_pictures_must_belong_together(folder: Path, called: list[Any]) -> None:
    labels = pictures("images", "labels")
    assert "only SPADE generators read label maps" in refused(Resnet((4,) * 8, 3), labels)
    spade = saved(Spade((2,) * 8, 7, more=False), folder / "spade.pth")
    options: dict[str, Any] = {"size": (64, 64), "upsampling": "normal"}
    assert "remove the direction" in refused(spade, labels, direction="BtoA", **options)
    (labels / "images").rename(labels / "train")
    (labels / "labels").rename(labels / "val")
    assert "only SPADE generators read label maps" in refused(spade, labels, **options)
    assert "reads 5 channels, and pictures have at most 4" in refused(Resnet((4,) * 8, 3, inputs=5), labels)
    assert "has 2 output channels. If they are a and b" in refused(Resnet((4,) * 8, 3, outputs=2), pictures())
    assert "has 5 output channels, and pictures have at most 4" in refused(Resnet((4,) * 8, 3, outputs=5), pictures())


def test_a_discriminator_of_another_generator_is_refused(folder: Path, called: list[Any]) -> None:
    data = pictures("train", "val")
    unconditional = saved(patch_gan(3, 8, 2), folder / "D.pth")
    told = refused(Resnet((16,) * 8, 3), data, discriminator=unconditional)
    assert re.search(r"is a PatchGAN with 3 input channels.*would have 6; remove it", told)


@pytest.mark.parametrize("budget", ["ten", "0x", "-3x", "10"])
def test_budgets_that_are_none(folder: Path, called: list[Any], budget: str) -> None:
    assert "expected a reduction such as 10x" in refused(Resnet((16,) * 8, 3), pictures("train", "val"), budget)


def test_a_budget_that_no_subnet_meets_says_the_largest_that_one_does(folder: Path, called: list[Any]) -> None:
    data = pictures("train", "val")
    told = refused(Resnet((64,) * 8, 9), data, "100000x")
    most = re.search(r"use at most (\d+\.\d)x", told)
    assert most
    compress(Path("latest_net_G.pth"), data, f"{most[1]}x", name="most", size=(32, 32))
    more = f"{float(most[1]) + 0.1:.1f}x"
    with pytest.raises(GancompError, match="use at most"):
        compress(Path("latest_net_G.pth"), data, more, name="more", size=(32, 32))


# --- the search space --------------------------------------------------------------------------


def test_the_paper_s_space_is_what_a_tenfold_reduction_gets() -> None:
    space = search_space(GeneratorSpec(widths=64), "10x")
    assert space == [[48, 32]] * 2 + [[48, 40, 32]] * 4 + [[48, 32, 24, 16]] * 2


@pytest.mark.parametrize(("reduction", "widest"), [(2, 48), (10, 48), (20, 32), (40, 24), (100, 16)])
def test_students_are_as_wide_as_the_budget_can_use(reduction: int, widest: int) -> None:
    assert search_space(GeneratorSpec(widths=64), f"{reduction}x")[0][0] == widest


@settings(deadline=None, max_examples=60)
@given(
    widths=st.tuples(*[st.integers(8, 128)] * 8),
    block=st.sampled_from(["dense", "separable"]),
    family=st.sampled_from(["resnet", "unet", "spade"]),
    reduction=st.floats(2, 40),
)
def test_spaces_are_small_lie_within_the_original_and_meet_the_budget(
    widths: tuple[int, ...], block: str, family: str, reduction: float
) -> None:
    fields = {
        "family": family,
        "widths": widths,
        "block": "dense" if family == "unet" else block,
        "size": 128,
        "downs": 7,
    }
    original = GeneratorSpec.model_validate(fields)
    budget = f"{reduction:.1f}x"
    try:
        space = search_space(original, budget)
    except GancompError:  # how it is refused has a test of its own
        reject()
    assert math.prod(len(choices) for choices in space) <= 5184
    for choices, width in zip(space, widths, strict=True):
        assert choices == sorted(set(choices), reverse=True)
        assert 0 < choices[-1] <= choices[0] <= width
    smallest = original.model_dump() | {
        "block": student_block(original),
        "widths": tuple(choices[-1] for choices in space),
    }
    assert profile(GeneratorSpec.model_validate(smallest)).macs <= budget_macs(budget, original)


def test_pictures_are_counted_where_they_train(folder: Path) -> None:
    data = pictures("trainA", "trainB", count=3)
    (data / "trainB" / "more.JPG").touch()
    (data / "trainA" / "notes.txt").touch()
    found = pictures_in(data, GeneratorSpec(widths=4, size=32))
    assert (found.model, found.count) == ("cyclegan", 4)


def test_torch_reads_nothing_but_tensors_here_either(folder: Path, called: list[Any]) -> None:
    data, file = pictures("train", "val"), Path("latest_net_G.pth")
    torch.save({"netG": Path("a pickled object")}, file)
    assert "wants to run pathlib." in refused(file, data)
    torch.save({"netG": {"weight": torch.zeros(1)}}, file)
    assert "no known generator" in refused(file, data)
