"""Augmentation draws from its generator alone and treats both pictures of a pair alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gancomp.data.augment import augment


def pictures(count: int = 16, height: int = 12, width: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, height, width, generator=generator) * 2 - 1


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_equal_draws_give_equal_pictures() -> None:
    one, same, other = (augment(pictures(), pictures(), rng(seed), (14, 20), True)[0] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("load_size", [None, (12, 16), (14, 20), (12, 30)])
@pytest.mark.parametrize("flip", [False, True])
def test_pairs_stay_aligned(load_size: tuple[int, int] | None, flip: bool) -> None:
    inputs, targets = augment(pictures(), pictures(), rng(), load_size, flip)
    assert inputs.shape == targets.shape == pictures().shape
    assert torch.equal(inputs, targets)
    assert inputs.is_contiguous()
    assert inputs.abs().max() <= 1


@pytest.mark.parametrize("load_size", [None, (12, 16)])
def test_nothing_changes_without_enlarging_and_mirroring(load_size: tuple[int, int] | None) -> None:
    inputs, _ = augment(pictures(), -pictures(), rng(), load_size, flip=False)
    assert torch.equal(inputs, pictures())


def test_mirroring_is_drawn_for_every_picture() -> None:
    original = pictures(200)
    inputs, targets = augment(original, -original, rng(), None, flip=True)
    mirrored = [torch.equal(after, before.flip(-1)) for after, before in zip(inputs, original, strict=True)]
    kept = [torch.equal(after, before) for after, before in zip(inputs, original, strict=True)]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))
    assert 70 < sum(mirrored) < 130
    assert torch.equal(targets, -inputs)


def test_crops_reach_every_offset_and_show_the_enlarged_picture() -> None:
    # A ramp along each axis: a crop's first value tells where it was cut.
    down = torch.linspace(-1, 1, 12)[:, None].expand(12, 16)
    across = torch.linspace(-1, 1, 16).expand(12, 16)
    ramp = torch.stack([down, across, down]).expand(300, 3, 12, 16)
    enlarged = torch.nn.functional.interpolate(ramp[:1], size=(14, 19), mode="bicubic").clamp(-1, 1)[0]
    inputs, _ = augment(ramp, ramp, rng(), (14, 19), flip=False)
    windows = {(top, left): enlarged[:, top : top + 12, left : left + 16] for top in range(3) for left in range(4)}
    found = {key for crop in inputs for key, window in windows.items() if torch.allclose(crop, window, atol=1e-6)}
    assert found == set(windows)
    assert all(any(torch.allclose(crop, window, atol=1e-6) for window in windows.values()) for crop in inputs)


def test_the_originals_are_not_changed() -> None:
    original = pictures()
    augment(original, original, rng(), (14, 20), True)
    assert torch.equal(original, pictures())


# --- unpaired pictures and label maps ----------------------------------------------------------


def test_unpaired_targets_have_draws_of_their_own_after_the_inputs() -> None:
    inputs, targets = augment(pictures(), pictures(), rng(), (14, 20), True, paired=False)
    assert inputs.shape == targets.shape
    assert torch.equal(inputs, augment(pictures(), pictures(), rng(), (14, 20), True)[0])
    assert all(not torch.equal(one, other) for one, other in zip(inputs, targets, strict=True))
    same_targets = augment(-pictures(), pictures(), rng(), (14, 20), True, paired=False)[1]
    assert torch.equal(targets, same_targets)


def test_unpaired_sides_may_differ_in_channels() -> None:
    inputs, targets = augment(pictures()[:, :1], pictures(), rng(), (14, 20), True, paired=False)
    assert (inputs.shape[1], targets.shape[1]) == (1, 3)


@pytest.mark.parametrize("load_size", [None, (14, 20), (24, 32)])
def test_label_maps_stay_label_maps_and_aligned_with_their_photos(load_size: tuple[int, int] | None) -> None:
    blocks = torch.randint(0, 4, (40, 3, 4), generator=torch.Generator().manual_seed(0))
    classes = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)
    planes = torch.nn.functional.one_hot(classes, 4).permute(0, 3, 1, 2).float()
    photos = planes[:, :3] * 2 - 1
    inputs, targets = augment(planes, photos, rng(), load_size, True, labels=True)
    assert set(inputs.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(inputs.sum(1), torch.ones(40, 12, 16))
    # A photo of the classes, enlarged smoothly, is brighter than its middle just where the class is.
    assert torch.equal((targets > 0).float(), inputs[:, :3])
