"""Generators whose outputs are gray, from their pictures to the export, the scores and the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_run import DATASET, EXPERIMENT, FakeInception, fake_inception, finish

from gancomp.data.datasets import Pictures, to_rgb
from gancomp.deploy.apply import translate
from gancomp.measure.evaluate import evaluate, evaluate_reference
from gancomp.metrics.frechet import Statistics, frechet_distance
from gancomp.nets import load_generator
from gancomp.pipeline import paths
from gancomp.pipeline.checkpoints import load_tensors, read_header
from gancomp.report.reading import read
from gancomp.report.records import COPIED, MEAN, Evaluation, Reference
from gancomp.spec import ValueRange


@pytest.mark.parametrize(("model", "inputs"), [("gray", 1), ("photo-gray", 3), ("numbers", 1)])
def test_gray_outputs_from_pictures_to_scores(
    model: str, inputs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = finish(tmp_path, model)
    monkeypatch.chdir(tmp_path)
    fake_inception(monkeypatch)
    for stage in ("original", "teacher", "distill", "supernet", "subnet", "finetune", "narrow", "export"):
        spec = load_generator(made.stage(stage) / "model.safetensors").spec
        assert (spec.in_channels, spec.out_channels) == (inputs, 1), stage
    judged = 1 if model == "photo-gray" else inputs + 1
    weights = load_tensors(made.stage("finetune") / "discriminator.safetensors")[0]
    assert weights["model.0.weight"].shape[1] == judged
    if model == "photo-gray":
        back = load_generator(made.stage("original") / "reverse.safetensors").spec
        assert (back.in_channels, back.out_channels) == (1, 3)

    evaluate(made.config(), EXPERIMENT, "finetune", "cpu")
    evaluate_reference(made.config(), EXPERIMENT, "cpu")
    record = read(made.stage("finetune") / "evaluation.json", Evaluation, "finetune")
    rows = read(made.stage("reference") / "evaluation.json", Reference, "reference").rows
    val = Pictures(paths.dataset(DATASET), ("val",), "AtoB")
    given, real = val.inputs(range(len(val))), val.targets(range(val.target_count))
    assert (given.shape[-1], real.shape[-1]) == (inputs, 1)
    generator = load_generator(made.stage("finetune") / "model.safetensors").requires_grad_(False)
    out = val.decode(generator(val.encode(given)))
    seen = Statistics.from_features(FakeInception()(to_rgb(real)))
    assert record.fid == pytest.approx(frechet_distance(FakeInception()(to_rgb(out)), seen), rel=1e-5)
    assert np.array_equal(to_rgb(real), to_rgb(real)[..., :1].repeat(3, axis=-1))
    if model != "photo-gray":
        full = 65_535 if model == "numbers" else 255
        assert real.dtype == out.dtype == (np.uint16 if model == "numbers" else np.uint8)
        assert record.l1 == pytest.approx(np.abs(out.astype(int) - real).mean() / full)
        assert rows[COPIED].l1 == pytest.approx(np.abs(given.astype(int) - real).mean() / full)
        assert rows[MEAN].l1 is not None
    for strip in ("reference/inputs.png", "reference/targets.png", "finetune/samples.png"):
        with Image.open(made.stage("reference").parent / strip) as shown:
            assert shown.mode == "RGB"

    if model == "numbers":
        signed = ValueRange(low=-1024, high=3072, type="int16")
        for stage in ("original", "subnet", "finetune", "export"):
            assert read_header(made.stage(stage) / "model.safetensors").ranges == {"input": signed, "target": signed}
        return
    Image.fromarray(given[0].squeeze()).save("input.png")
    picture = translate(generator, "input.png")
    assert picture.mode == "L"
    assert np.abs(np.asarray(picture).astype(int) - out[0, ..., 0]).max() <= 1
