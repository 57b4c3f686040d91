"""Large pictures tile by tile: what one pass over the whole picture gives, or a blend that shows no seams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from strategies import lively
from torch import Tensor

import gancomp
from gancomp.deploy import tiles
from gancomp.deploy.apply import apply_folder
from gancomp.deploy.runtimes import Model, on_pytorch
from gancomp.deploy.tiles import Sight, in_tiles, sight_of, spans
from gancomp.errors import GancompError
from gancomp.nets import save_generator
from gancomp.nets.generator import Generator
from gancomp.spec import GeneratorSpec

#: Of the result, in [-1, 1]; an 8-bit step is 0.008.
ROUNDING = 2e-4
RESNET = GeneratorSpec(widths=3, size=32, blocks=3)
UNET = GeneratorSpec(family="unet", widths=2, size=32, downs=3)
SPADE = GeneratorSpec(family="spade", widths=1, size=64, upsampling="normal", in_channels=4)


def unlike(spec: GeneratorSpec, height: int, width: int, count: int = 1) -> np.ndarray:
    """Inputs whose statistics differ from place to place."""
    slope = np.linspace(-1, 0.6, width) * np.linspace(0.3, 1, height)[:, None]
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, (count, spec.in_channels, height, width))
    return (slope + noise).astype(np.float32)


@pytest.mark.parametrize(
    ("spec", "tile", "size"),
    [
        (RESNET.model_copy(update={"norm": "batch"}), 96, (160, 132)),
        (RESNET.model_copy(update={"norm": "none"}), 96, (160, 132)),
        (RESNET, 96, (160, 132)),
        (RESNET.model_copy(update={"norm": "affine", "block": "separable"}), 96, (132, 100)),
        (RESNET.model_copy(update={"norm": "batch", "statistics": "batch"}), 96, (132, 60)),
        (UNET, 64, (120, 80)),
        (UNET.model_copy(update={"norm": "instance"}), 64, (80, 120)),
    ],
    ids=lambda value: "-".join([value.family, value.norm, value.block]) if isinstance(value, GeneratorSpec) else None,
)
def test_tiles_give_what_the_whole_picture_gives(spec: GeneratorSpec, tile: int, size: tuple[int, int]) -> None:
    """Statistics of instance norm are the whole picture's: a tile's own would give other pictures."""
    model = Model(spec, on_pytorch(lively(spec)))
    x = unlike(spec, *size, count=2)
    whole = model.run(x)
    assert whole.std() > 0.05
    tiled, told = in_tiles(model, tile)
    assert "that of a single pass" in told
    assert np.abs(tiled.run(x) - whole).max() < ROUNDING
    if sight_of(spec).norms:
        blended, told = in_tiles(Model(spec, model.run, runtime="onnxruntime"), tile)
        assert "its own statistics" in told
        assert np.abs(blended.run(x) - whole).max() > 20 * ROUNDING


def test_a_tile_is_all_that_is_seen_at_once() -> None:
    seen: list[tuple[int, ...]] = []
    run = on_pytorch(lively(UNET))

    def watched(x: np.ndarray) -> np.ndarray:
        seen.append(x.shape[2:])
        return run(x)

    tiled, _ = in_tiles(Model(UNET, watched), 70)
    tiled.run(unlike(UNET, 152, 40))
    assert set(seen) == {(64, 40)}


@pytest.mark.parametrize("spec", [RESNET, RESNET.model_copy(update={"block": "separable"}), UNET, SPADE])
def test_how_far_a_network_sees(spec: GeneratorSpec) -> None:
    """What is further from a pixel does not move it, and some pixel within one stride of that is moved."""
    spec = spec.model_copy(update={"norm": "batch"})
    halo = sight_of(spec).halo
    assert halo
    assert halo % spec.stride == 0
    run = on_pytorch(lively(spec))
    width = 2 * halo + 3 * spec.stride
    x = unlike(spec, spec.fitting((1, 1))[0], width)
    before = run(x)
    x[..., : spec.stride] += 1
    moved = np.abs(run(x) - before).max(axis=(0, 1, 2)) > 0
    assert not moved[halo + spec.stride :].any()


def test_a_network_that_sees_everything_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    class Everywhere(Generator):
        segments = ()

        def forward(self, x: Tensor) -> Tensor:
            return x + x.mean(dim=(2, 3), keepdim=True)

    monkeypatch.setattr(tiles, "build_generator", Everywhere)
    assert sight_of(RESNET) == Sight(None, 0)
    _, told = in_tiles(Model(RESNET, lambda x: x), 64)
    assert "sees the whole picture" in told
    assert "blended" in told


def test_blended_tiles_have_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs from tile to tile changes little by little, and what does not is left as it is."""
    monkeypatch.setattr(tiles, "sight_of", lambda spec: Sight(None, 0))
    x = unlike(RESNET, 148, 200)
    same, _ = in_tiles(Model(RESNET, lambda x: x), 64)
    assert np.abs(same.run(x) - x).max() < 1e-6
    counted = iter(range(99))
    each, _ = in_tiles(Model(RESNET, lambda x: np.full_like(x, next(counted))), 64)
    made = each.run(x)[0, 0]
    assert next(counted) == 4 * 3
    assert len(np.unique(made)) > 12
    across = np.abs(np.diff(made, axis=1)).max()
    assert 0 < across < 0.15  # one from tile to tile, over 16 pixels or more


@pytest.mark.parametrize(
    ("side", "tile", "overlap", "stride"), [(64, 64, 32, 4), (72, 64, 32, 8), (400, 96, 64, 8), (101, 32, 8, 1)]
)
def test_tiles_cover_a_side(side: int, tile: int, overlap: int, stride: int) -> None:
    found = spans(side, tile, overlap, stride)
    assert [span.first for span in found] == [0, *(span.last for span in found[:-1])]
    assert found[-1].last == side
    for span in found:
        assert span.stop - span.start == tile
        assert not span.start or span.first - span.start >= overlap // 2
        assert span.stop == side or span.stop - span.last >= overlap // 2
        assert span.start % stride == span.first % stride == 0


def test_an_export_of_one_size_is_a_tile() -> None:
    """Smaller pictures are reflected, larger ones in tiles, none is resized: what PyTorch gives of the whole."""
    run = on_pytorch(lively(UNET))

    def fixed(x: np.ndarray) -> np.ndarray:
        assert x.shape[2:] == (64, 64)
        return run(x)

    tiled, told = in_tiles(Model(UNET, fixed, (64, 64), runtime="openvino"), 999)
    assert tiled.size is None
    assert "tiles of 64 × 64 that share 32 pixels, in which they agree" in told
    x = unlike(UNET, 104, 136)
    assert np.abs(tiled.run(x) - run(x)).max() < ROUNDING
    small = x[..., :64, :24]
    reflected = np.pad(small, [(0, 0)] * 3 + [(0, 40)], mode="reflect")
    assert np.array_equal(tiled.run(small), run(reflected)[..., :24])


def test_a_folder_in_tiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, folder = tmp_path / "m.safetensors", tmp_path / "in"
    save_generator(model, lively(UNET), experiment="e", stage="export", signature="s")
    folder.mkdir()
    draw = np.random.default_rng(0)
    Image.fromarray(draw.integers(0, 256, (101, 60, 3), dtype=np.uint8)).save(folder / "a.png")
    out = apply_folder(model, folder, tile=64)
    assert f"{folder}: tiles of 64 × 64 that share 32 pixels" in capsys.readouterr().err
    found = np.asarray(Image.open(out / "a.png")).astype(int)
    whole = np.asarray(Image.open(apply_folder(model, folder, tmp_path / "whole") / "a.png"))
    assert np.abs(found - whole).max() <= 1
    with pytest.raises(GancompError, match="another model, size or tile"):
        apply_folder(model, folder)


def test_from_python_too(tmp_path: Path) -> None:
    generator = lively(RESNET)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (130, 61, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    whole, tiled = (
        np.asarray(gancomp.translate(generator, tmp_path / "a.png", tile=tile)).astype(int) for tile in (None, 96)
    )
    assert np.abs(whole - tiled).max() <= 1


def test_impossible_tiles_are_refused(tmp_path: Path) -> None:
    model = Model(RESNET, on_pytorch(lively(RESNET)))
    with pytest.raises(GancompError, match="--tile 7: this network reads pictures of at least 8 × 8"):
        in_tiles(model, 7)
    with pytest.raises(GancompError, match="--training-size and --tile"):
        gancomp.translate(model, tmp_path / "none.png", training_size=True, tile=64)
