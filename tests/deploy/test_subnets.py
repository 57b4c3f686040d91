"""Subnets cut from one exported program draw what the same weights draw in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from gancomp.deploy import subnets
from gancomp.deploy.formats import random_inputs
from gancomp.deploy.runtimes import on_onnxruntime, on_pytorch
from gancomp.deploy.subnets import SubnetPrograms, Uncuttable, random_generator
from gancomp.nets import build_generator
from gancomp.spec import GeneratorSpec

RESNET = GeneratorSpec(widths=(4,) * 8, size=(16, 16), blocks=3, block="separable")
UNET = GeneratorSpec(family="unet", widths=(4,) * 8, size=(32, 32), downs=5)
SPADE = GeneratorSpec(family="spade", widths=(2,) * 8, size=(64, 64), in_channels=3, upsampling="normal")


@pytest.mark.parametrize("spec", [RESNET, UNET, pytest.param(SPADE, marks=pytest.mark.slow)], ids=lambda s: s.family)
def test_a_cut_program_is_the_subnet_of_the_leading_weights(
    spec: GeneratorSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = [[width, width // 2] for width in spec.widths]
    programs = SubnetPrograms(spec, space)
    # From here on nothing is exported: what follows is cut.
    monkeypatch.setattr(subnets, "_export", None)
    whole = random_generator(spec).state_dict()
    for widths in (tuple(choices[at % 2] for at, choices in enumerate(space)), tuple(one[-1] for one in space)):
        subnet = build_generator(spec.with_widths(widths)).eval()
        leading = {
            name: whole[name][tuple(slice(side) for side in tensor.shape)] if tensor.ndim else whole[name]
            for name, tensor in subnet.state_dict().items()
        }
        subnet.load_state_dict(leading)
        x = random_inputs(spec, spec.size, 1)
        run, _ = on_onnxruntime(programs.of(widths), threads=1)
        np.testing.assert_allclose(run(x), on_pytorch(subnet)(x), atol=1e-3)


def test_what_cannot_be_cut_is_exported_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(program: object, shapes: object) -> object:
        raise Uncuttable("Einsum")

    monkeypatch.setattr(subnets, "narrowed", refuse)
    programs = SubnetPrograms(RESNET, [[width, width // 2] for width in RESNET.widths])
    run, _ = on_onnxruntime(programs.of((2,) * 8), threads=1)
    assert run(random_inputs(RESNET, RESNET.size, 1)).shape == (1, 3, 16, 16)
