"""An output of the original code shows whether the assumptions of the import are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gancomp.convert.generators import convert
from gancomp.errors import GancompError
from tests.convert.foreign import Resnet, Unet, lively, saved

SIZE = 32


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The input of the sample."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE // 4, SIZE // 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(tmp_path / "input.png")
    return tmp_path / "input.png"


def drawn(network: nn.Module, source: Path, name: str = "output.png") -> Path:
    """What *network* draws of *source*, cut to 8 bits as pix2pix cuts."""
    x = torch.from_numpy(np.asarray(Image.open(source)).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        out = network(x)[0].permute(1, 2, 0).numpy()
    path = source.with_name(name)
    Image.fromarray(((out + 1) / 2 * 255).clip(0, 255).astype(np.uint8)).save(path, quality=95)
    return path


@pytest.mark.parametrize("name", ["output.png", "output.jpg"])
def test_the_right_assumptions_pass(source: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    network = lively(Resnet((2,) * 8, 3)).eval()
    out = source.with_name("ours.safetensors")
    if name.endswith("png"):
        sample = drawn(network, source, name)
    else:  # a picture that JPEG can hold
        sample = source.with_name(name)
        Image.open(drawn(network, source)).save(sample, quality=100, subsampling=0)
    convert(saved(network, source.with_name("G.pth")), out, (SIZE, SIZE), sample=(source, sample))
    assert out.is_file()
    assert "matches the generator's output" in capsys.readouterr().out


def test_a_norm_that_is_not_the_originals_is_refused(source: Path) -> None:
    network = lively(Resnet((2,) * 8, 3, kind="none")).eval()
    file, out = saved(network, source.with_name("G.pth")), source.with_name("ours.safetensors")
    with pytest.raises(GancompError, match=r"output\.png: is not this generator's output .* instance norm"):
        convert(file, out, (SIZE, SIZE), norm="instance", sample=(source, drawn(network, source)))
    assert not out.exists()


def test_so_are_statistics_that_the_original_did_not_use(source: Path) -> None:
    network = lively(Unet(2, 5))
    file, out = saved(network, source.with_name("G.pth")), source.with_name("ours.safetensors")
    sample = (source, drawn(network.train(), source))
    with pytest.raises(GancompError, match="running statistics"):
        convert(file, out, (SIZE, SIZE), sample=sample)
    convert(file, out, (SIZE, SIZE), statistics="batch", sample=sample)


def test_pictures_that_cannot_be_compared(source: Path) -> None:
    network = lively(Resnet((2,) * 8, 3)).eval()
    small = source.with_name("small.png")
    Image.open(source).resize((16, 16)).save(small)
    with pytest.raises(GancompError, match=r"small\.png: is 16x16, but .*input\.png is 32x32"):
        convert(saved(network, source.with_name("G.pth")), source.with_name("o.safetensors"), sample=(source, small))
