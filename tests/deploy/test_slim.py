"""The exported generator: its file, its card, and the checks before it is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_run import DATASET, EXPERIMENT, Workspace
from untrained import prepare

import gancomp
from gancomp.data.datasets import Pictures, to_float
from gancomp.deploy.slim import TOLERANCE, export_slim
from gancomp.elastic.slicing import extract
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.nets import load_generator, save_generator
from gancomp.pipeline.checkpoints import read_header
from gancomp.pipeline.files import file_sha256, read_json
from gancomp.pipeline.signatures import signature


def test_card(finished: Workspace) -> None:
    folder = finished.stage("export")
    card = read_json(folder / "card.json")
    header = read_header(folder / "model.safetensors")
    counted = profile(header.spec)
    assert card["spec"] == header.spec.model_dump(mode="json")
    assert (card["params"], card["macs"], card["macs_paper"]) == (counted.params, counted.macs, counted.macs_paper)
    assert card["sha256"] == file_sha256(folder / "model.safetensors")
    assert card["bytes"] == (folder / "model.safetensors").stat().st_size
    assert card["experiment"] == header.experiment == EXPERIMENT
    assert header.stage == "export"
    assert header.signature == signature(finished.config(), EXPERIMENT, "export")
    differences = card["max_difference"]
    assert differences.keys() == {"once-for-all network, extracted subnet", "fine-tuned, exported"}
    assert all(0 <= difference < 1e-5 for difference in differences.values())


def test_gives_the_fine_tuned_generators_pictures(finished: Workspace) -> None:
    pictures = Pictures(finished.folder / "data" / DATASET, ("val",), "AtoB")
    x = to_float(pictures.batch(range(len(pictures)))[0])
    with torch.inference_mode():
        exported, tuned, subnet = (
            gancomp.load_generator(finished.stage(stage) / "model.safetensors")(x)
            for stage in ("export", "finetune", "subnet")
        )
    assert torch.equal(exported, tuned)
    assert (exported - subnet).abs().max() > TOLERANCE, "fine-tuning changes it"


def replace(path: Path, generator: torch.nn.Module) -> None:
    header = read_header(path)
    save_generator(path, generator, experiment=header.experiment, stage=header.stage, signature=header.signature)


def tampered(path: Path) -> None:
    """One weight of the subnet nudged."""
    generator = load_generator(path)
    generator.output[-2].weight.data[0, 0, 3, 3] += 0.5
    replace(path, generator)


def not_a_number(path: Path) -> None:
    generator = load_generator(path)
    generator.stem[1].weight.data.fill_(float("nan"))
    replace(path, generator)


def another_subnet(path: Path) -> None:
    """The supernet's other channels: a subnet of the right widths that is no leading block."""
    whole = load_generator(path.parents[1] / "supernet" / "model.safetensors")
    state = whole.state_dict()
    for name, tensor in state.items():
        state[name] = tensor.flip(0) if name.startswith("blocks1.0.branch.1.2") else tensor
    whole.load_state_dict(state)
    replace(path, extract(whole, read_header(path).spec.widths))


def of_other_widths(path: Path) -> None:
    replace(path, load_generator(path.parents[1] / "teacher" / path.name))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (tampered, "its pictures differ from those of the network that it was cut from by"),
        (not_a_number, "by nan"),
        (another_subnet, "its pictures differ"),
        (of_other_widths, "was not cut out of"),
        (cut_off, "truncated or damaged"),
        (gone, "missing; run `gancomp subnet"),
    ],
)
def test_harmed_subnet_is_named(workspace: Workspace, harm: Callable[[Path], None], message: str) -> None:
    shutil.rmtree(workspace.stage("export"))
    harm(workspace.stage("subnet") / "model.safetensors")
    with pytest.raises(GancompError, match=r"subnet/model\.safetensors") as caught:
        export_slim(workspace.config(), EXPERIMENT)
    assert message in str(caught.value)
    assert not workspace.stage("export").exists(), "nothing is left behind"


def test_two_exports_are_the_same_bytes(finished: Workspace, workspace: Workspace) -> None:
    export_slim(workspace.config(), EXPERIMENT)
    for name in ("model.safetensors", "card.json"):
        assert (workspace.stage("export") / name).read_bytes() == (finished.stage("export") / name).read_bytes()


@pytest.mark.parametrize("experiment", ["batch", "cyclegan", "gaugan"])
def test_every_family(experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subnet is what was cut out of the once-for-all network, with statistics of its own."""
    made = prepare(experiment, tmp_path, monkeypatch)
    export_slim(made.config(), experiment)
    card = read_json(made.stage("export") / "card.json")
    assert all(0 <= difference < 1e-4 for difference in card["max_difference"].values())

    path = made.stage("subnet") / "model.safetensors"
    subnet = load_generator(path)
    weight = next(weight for name, weight in subnet.named_parameters() if name.endswith("weight"))
    weight.data[0, 0] += 0.5
    made.save("subnet", subnet)
    with pytest.raises(GancompError, match=r"subnet/model\.safetensors: its pictures differ"):
        export_slim(made.config(), experiment)
