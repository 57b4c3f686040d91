"""The experiment that compresses a generator, and its configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gancomp.compression.pictures import Pictures
from gancomp.compression.space import Space, student_block
from gancomp.config.loading import merge, parse, read_yaml
from gancomp.config.settings import Config
from gancomp.config.values import Model
from gancomp.convert.discriminators import DiscriminatorShape
from gancomp.errors import GancompError
from gancomp.network import read_description
from gancomp.pipeline.files import write_text
from gancomp.spec import GeneratorSpec, Statistics

#: Table 5, by model. The perceptual network is the one whose weights come in a package.
OBJECTIVES: dict[Model, dict[str, Any]] = {
    "pix2pix": {"gan": "hinge", "lambda_recon": 100, "lambda_distill": 1},
    "cyclegan": {"gan": "lsgan", "lambda_recon": 10, "lambda_distill": 0.01},
    "gaugan": {
        "gan": "hinge",
        "lambda_recon": 10,
        "lambda_feature": 10,
        "lambda_distill": 10,
        "perceptual": "efficientnet-lite0",
    },
}
DISCRIMINATORS: dict[Model, dict[str, int]] = {
    "pix2pix": {"ndf": 128, "layers": 3, "scales": 1},
    "cyclegan": {"ndf": 64, "layers": 3, "scales": 1},
    "gaugan": {"ndf": 64, "layers": 4, "scales": 2},
}
STEPS: dict[Model, dict[str, Any]] = {
    "pix2pix": {"batch": 4, "lr": 2e-4},
    "cyclegan": {"batch": 1, "lr": 2e-4},
    "gaugan": {"batch": 16, "lr": 1e-4, "lr_discriminator": 4e-4},
}
#: Default number of training pictures of a stage; in Table 5 it is 0.2 to 1.0 million.
PICTURES_SEEN = 300_000


def network_settings(
    generator: Path,
    key: str | None,
    spec: GeneratorSpec,
    told: Statistics | None,
    discriminator: Path | None,
    declared: dict[str, int],
) -> dict[str, Any]:
    """The imported generator as original and teacher; statistics that were *told* may not be in the file."""
    if spec.network:
        architecture = {"network": spec.network, "builder": spec.network.builder}
        shape: dict[str, Any] = {"block": spec.block} | (
            {"widths": list(spec.widths)} if spec.widths != spec.network.full else {}
        )
    else:
        architecture, shape = _of_the_family(spec)
    imported = {"checkpoint": str(generator), **shape}
    imported |= {"statistics": spec.statistics} if told or spec.statistics == "batch" else {}
    imported |= {"hidden": spec.hidden} if spec.hidden else {}
    imported |= {"key": key} if key else {}
    return {
        "generator": {"family": spec.family, "block": student_block(spec), **architecture},
        "discriminator": declared,
        "original": imported,
        "teacher": imported | ({"discriminator": str(discriminator)} if discriminator else {}),
    }


def _of_the_family(spec: GeneratorSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of an experiment's generators, and of the imported one alone."""
    own: dict[str, dict[str, Any]] = {"spade": {"upsampling": spec.upsampling}, "unet": {"downs": spec.downs}}
    widths = spec.widths[0] if len(set(spec.widths)) == 1 else list(spec.widths)
    return {"norm": spec.norm, **own.get(spec.family, {"blocks": spec.blocks})}, {"widths": widths, "block": spec.block}


def discriminator_settings(model: Model, spec: GeneratorSpec, found: DiscriminatorShape | None) -> dict[str, int]:
    """The model's discriminator, with as many layers as the pictures allow; or the imported one."""
    if found is None:
        usual = DISCRIMINATORS[model]
        room = (min(spec.size) // 3).bit_length() - usual["scales"]
        return usual | {"layers": max(1, min(usual["layers"], room))}
    seen = spec.out_channels + (0 if model == "cyclegan" else spec.in_channels)
    if found.channels != seen or (found.scales is not None) != (model == "gaugan"):
        raise GancompError(
            f"the discriminator is {found}, but that of this {model} generator would have {seen}"
            f"{' at several scales' if model == 'gaugan' else ''}; remove it, or pass the one it was trained with"
        )
    return {"ndf": found.ndf, "layers": found.layers, "scales": found.scales or 1}


def stage_sections(pictures: Pictures, spec: GeneratorSpec, space: Space, epochs: int) -> dict[str, Any]:
    """The objective and the trainings: half of the epochs at the full rate, half decaying to zero (Table 5)."""
    steps = STEPS[pictures.model]
    usual = steps | {"epochs_const": epochs // 2, "epochs_decay": epochs - epochs // 2}
    widest = [choices[0] for choices in space]
    # A separable student cannot take a dense teacher's filters, or too few hidden channels; features still teach.
    fits = spec.block == student_block(spec) and spec.hidden_of(max(widest)) >= 2 * max(widest)
    return {
        "objective": OBJECTIVES[pictures.model],
        "distill": usual | {"widths": widest, "prune": fits},
        "supernet": steps | {"epochs_const": epochs, "epochs_decay": epochs, "space": space},
        "finetune": usual,
        "narrow": usual,
    }


def usual_epochs(count: int) -> int:
    return min(200, max(10, round(PICTURES_SEEN / count)))


def checked_config(settings: dict[str, Any], name: str) -> Config:
    """The validated configuration as the workflow will read it, on top of the current folder's."""
    own = read_yaml(Path("config.yaml")) if Path("config.yaml").exists() else {}
    for kind in ("datasets", "experiments"):
        if name in (own.get(kind) or {}):
            raise GancompError(f"config.yaml: has {kind}.{name} already; choose another --name")
    return parse(merge(own, settings), f"{name}.yaml")


def _yaml(settings: dict[str, Any]) -> str:
    class Plain(yaml.SafeDumper):
        """Without anchors for repeated values."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(settings, Dumper=Plain, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def configuration_text(settings: dict[str, Any], name: str, folder: Path) -> str:
    """The text of the configuration file in *folder*, with the description of a custom network beside it."""
    generator = settings["experiments"][name]["generator"]
    if "network" in generator:
        told = generator | {"network": str(_description(folder, name))}
        settings = merge(settings, {"experiments": {name: {"generator": told}}})
    about = f"# Written by `gancomp compress`; run it by hand with: snakemake --configfile {name}.yaml\n\n"
    return about + _yaml(settings)


def _description(folder: Path, name: str) -> Path:
    return folder / f"{name}.network.json"


def write_configuration(settings: dict[str, Any], name: str, spec: GeneratorSpec, folder: Path) -> Path:
    """Write the configuration, and the description of a custom network, into *folder*; returns the former's path."""
    path = folder / f"{name}.yaml"
    text, beside = configuration_text(settings, name, folder), _description(folder, name)
    if spec.network and beside.exists() and read_description(beside) != spec.network:
        raise GancompError(f"{beside}: exists and describes another network; delete it, or choose another --name")
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise GancompError(
            f"{path}: exists with other content; continue it by `snakemake --configfile {path}`, or choose "
            "another --name"
        )
    if spec.network and not beside.exists():
        write_text(beside, spec.network.model_dump_json(indent=1) + "\n")
    if not path.exists():
        write_text(path, text)
    return path
