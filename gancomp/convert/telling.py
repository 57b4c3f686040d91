"""Descriptions of imported generators, and of the assumptions about them."""

from __future__ import annotations

from gancomp.builders import OWN
from gancomp.spec import GeneratorSpec, format_widths


def assumed(spec: GeneratorSpec) -> list[str]:
    """The assumptions about the imported generator *spec* that its tensors do not show, one line each."""
    if spec.network:
        by = " with each picture's own statistics" if spec.statistics == "batch" else ", evaluation mode"
        lines = [f"the layers of {spec.network.builder}: {spec.norm} norm{by}", "inputs and outputs in [-1, 1]"]
        if spec.network.builder in OWN:
            lines.append("reflection padding; tanh at the end; no dropout (without norms: --norm none)")
        return lines
    norms = {
        "instance": "instance norm without parameters, eps 1e-5 (without norms: --norm none)",
        "affine": "instance norm with scales and shifts, eps 1e-5",
        "none": "no norm, because its convolutions have no biases (instance norm: --norm instance)",
        "batch": "batch norm, eps 1e-5, with "
        + (
            "its running statistics, as in pix2pix's test.py --eval (without --eval: --statistics batch)"
            if spec.statistics == "running"
            else "each picture's own, as in affine instance norm and pix2pix's test.py without --eval (whose "
            "dropout is left out)"
        ),
    }
    if spec.family == "spade":
        norms["batch"] = "batch norm with its running statistics, eps 1e-5"
    paddings = {"resnet": "reflection padding", "unet": "zero padding", "spade": "zero padding, nearest upsampling"}
    lines = [norms[spec.norm], f"{paddings[spec.family]}; tanh at the end; no dropout"]
    if spec.block == "separable":
        lines.insert(1, f"{spec.between} norm between depthwise and pointwise")
    if spec.family == "spade":
        lines.append(f"sides doubled {'six' if spec.upsampling == 'more' else 'five'} times (--upsampling)")
    return lines


def describe(spec: GeneratorSpec) -> str:
    """A description of *spec*, without its size."""
    if spec.network:
        return (
            f"a {spec.block} network of {spec.network.builder} with {spec.norm} norm, {len(spec.widths)} widths "
            f"{format_widths(spec.widths)}, {spec.in_channels} → {spec.out_channels} channels"
        )
    kinds = {
        "resnet": f"a {spec.block} resnet with {spec.blocks} blocks and {spec.norm} norm",
        "unet": f"a unet with {spec.downs} downs and {spec.norm} norm",
        "spade": f"a {spec.block} spade generator" + (f" with {spec.hidden} hidden channels" if spec.hidden else ""),
    }
    return f"{kinds[spec.family]}, widths {shown(spec, 'widths')}, {spec.in_channels} → {spec.out_channels} channels"


def shown(spec: GeneratorSpec, field: str) -> str:
    value = getattr(spec, field)
    if field == "network":
        return f"{value.builder} ({value.key})" if value else "none"
    if field == "widths":
        return str(value[0]) if len(set(value)) == 1 else format_widths(value)
    return str(value)
