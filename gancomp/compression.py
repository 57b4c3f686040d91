"""One command from a trained generator and a folder of pictures to a compressed generator: `gancomp compress`.

It writes a configuration, which can be read and run by hand as any other, and calls the workflow.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from torch import nn

from gancomp import paths
from gancomp.artifacts import is_own, read_json, write_text
from gancomp.config import Config, ImportableTraining, Model, budget_macs, parse_budget, spec_of
from gancomp.convert import (
    DiscriminatorShape,
    assumed,
    check_sample,
    describe,
    detect_discriminator,
    load_original,
    ranges_of,
)
from gancomp.cost import estimate, refuse_without_room
from gancomp.data.build import check
from gancomp.data.images import SUFFIXES
from gancomp.errors import GancompError
from gancomp.imported import builder_of, check_findable, imported, is_builder, write_weights
from gancomp.loading import merge, parse, read_yaml
from gancomp.network import read_description
from gancomp.profile.macs import profile
from gancomp.spec import Block, GeneratorSpec, Norm, Statistics, Upsampling, format_widths

Direction = Literal["AtoB", "BtoA"]
Space = list[list[int]]

SNAKEFILE = Path(__file__).parent.parent / "Snakefile"

#: How Snakemake names the log of a job that failed.
FAILED_LOG = re.compile(r"^ +log: (.+) \(check log file\(s\) for error details\)$", re.MULTILINE)
#: How it tells the stages that would run and their numbers of jobs.
PLANNED = re.compile(r"^Job stats:\n(.*?)\n\n", re.MULTILINE | re.DOTALL)

LAYOUTS = """\
  train/ and val/ (or test/)   pictures A|B side by side, for pix2pix
  trainA/ and trainB/          two domains, for CycleGAN; testA/ and testB/ (or valA/ and valB/) where there are any
  images/ and labels/          photos and label maps of the same names, for GauGAN; instances/, and val_images/,
                               val_labels/ and val_instances/ where there are any"""

#: Choices of widths in eighths of the imported generator's, for ever narrower students: at the ends of a resnet and in
#: the blocks of SPADE; in a resnet's trunk and blocks; where pictures are enlarged. For a resnet of width 64 the first
#: is the paper's space of 5,184 subnets.
LADDERS = (
    ((6, 4), (6, 5, 4), (6, 4, 3, 2)),
    ((4, 3), (4, 3, 2), (4, 3, 2, 1)),
    ((3, 2), (3, 2, 1), (3, 2, 1)),
    ((2, 1), (2, 1), (2, 1)),
)
#: Which part of a ladder each of the eight widths takes; of a network of one's own the ends are two widths each.
PLACES = {"resnet": (0, 0, 1, 1, 1, 1, 2, 2), "unet": (0, 0, 1, 1, 1, 1, 2, 2), "spade": (0, 0, 0, 0, 0, 2, 2, 2)}
#: Of more subnets not all are scored: they evolve.
MOST_SCORED = 10_000

#: Table 5, by model. The perceptual network is the one that can be had wherever packages can.
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
#: Pictures that a stage sees where no epochs are asked for; in Table 5 they are 0.2 to 1.0 million.
PICTURES_SEEN = 300_000


@dataclass(frozen=True)
class Pictures:
    """A folder of pictures: the model that learns from it, the data set to declare, how many pictures train."""

    model: Model
    declared: dict[str, Any]
    count: int


def compress(
    generator: Path | str | nn.Module,
    data: Path | str,
    budget: str = "10x",
    *,
    weights: Path | None = None,
    builder: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    channels: int | None = None,
    name: str | None = None,
    discriminator: Path | None = None,
    size: tuple[int, int] | None = None,
    upsampling: Upsampling | None = None,
    norm: Norm | None = None,
    statistics: Statistics | None = None,
    key: str | None = None,
    sample: tuple[Path, Path] | None = None,
    direction: Direction = "AtoB",
    epochs: int | None = None,
    cores: int | None = None,
    dry_run: bool = False,
) -> None:
    """Compress *generator* on the pictures of *data* (see LAYOUTS).

    *generator* is a checkpoint that `gancomp.convert` reads; or a module; or the function `package.module:function`
    that builds it from *arguments* (JSON), and *weights* its state dict. Of a module, *builder* is that function: the
    workflow's stages are processes of their own, and build it anew; by its class if it is not given. *channels* are
    those of its input, where its first convolution does not tell.

    Writes NAME.yaml into the current folder, runs the workflow on it, and says where the compressed generator and its
    report are. The same command after a stop continues; with *dry_run* it only says what it would do, and what each
    stage would cost here. *epochs* are those of distillation and fine-tuning; the once-for-all network trains twice as
    long. *key* names the generator in a checkpoint of several networks, *sample* an input and what the original drew of
    it (`check_sample`). Raises GancompError, before anything but a module's weights is written, for a checkpoint,
    discriminator or folder that is not known, pictures that make no data set, a budget that no subnet meets and a
    NAME.yaml of other content; and when the workflow stops, with the error of the stage that failed.
    """
    data = Path(data)
    name = name or re.sub(r"[^A-Za-z0-9._-]", "_", f"{data.resolve().name}-{budget}").lstrip("._-")
    if isinstance(generator, nn.Module):
        builder = builder or builder_of(generator, arguments or {})
        weights = write_weights(Path(f"{name}.weights.safetensors"), generator)
    elif is_builder(generator):
        builder = str(generator)
    if builder and weights is None:
        raise GancompError(f"{builder}: builds a network without what it learned; name its state dict by --weights")
    if builder:
        check_findable(builder)
    checkpoint = weights or Path(str(generator))
    spec, _ = imported(
        builder or checkpoint,
        weights,
        arguments,
        channels,
        size=size,
        upsampling=upsampling,
        norm=norm,
        statistics=statistics,
        key=key,
    )
    shape = detect_discriminator(discriminator)[0] if discriminator else None
    pictures = pictures_in(data, spec, direction)
    keys = {"input": "range", "target": "target_range"}
    ranges = {keys[role]: [found.low, found.high] for role, found in ranges_of(checkpoint).items()}
    space = search_space(spec, budget)
    experiment = {
        "title": f"{builder or checkpoint.name}, {budget} on {data.name}",
        "model": pictures.model,
        "dataset": name,
        **_networks(checkpoint, key, spec, statistics, discriminator, _discriminator(pictures.model, spec, shape)),
        **_stages(pictures, spec, space, epochs or _usual_epochs(pictures.count)),
        "search": {"budget": budget, "shards": 8, **_method(space)},
    }
    settings = {"run": [name], "datasets": {name: pictures.declared | ranges}, "experiments": {name: experiment}}
    config = _checked(settings, name)
    original = load_original(checkpoint, spec_of(config.experiments[name], config.datasets[name], "original"), key=key)
    if sample:
        check_sample(original, *sample, assumed(spec))
    check(name, config.datasets[name], paths.dataset(name), paths.DOWNLOADS)
    print(summary(config, name, pictures))
    if not is_own(checkpoint):
        print("\n".join(f"  taken to have  {line}" for line in assumed(spec)))
    if dry_run:
        print(f"\nwould write {name}.yaml:\n\n{_text(settings, name, Path())}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            written = _write(settings, name, spec, Path(folder))
            print(_planned(written, cores), end="\n\n")
        print(estimate(config, name))
        return
    refuse_without_room(config, name)
    _snakemake(_write(settings, name, spec, Path()), cores)
    print(closing(config, name))


# --- what there is -----------------------------------------------------------------------------


def pictures_in(data: Path, spec: GeneratorSpec, direction: Direction = "AtoB") -> Pictures:
    """What *data* holds, as a data set for a generator of *spec*.

    Raises GancompError showing the three layouts where it has none of them or no pictures, and where the generator
    does not belong to the layout.
    """

    def folder(*names: str) -> str | None:
        return next((str(data / name) for name in names if (data / name).is_dir()), None)

    height, width = spec.size
    common: dict[str, Any] = {"size": f"{height}x{width}", "load_size": f"{height * 286 // 256}x{width * 286 // 256}"}
    made = {"target_channels": spec.out_channels} if spec.out_channels != 3 else {}
    common |= {"direction": direction, "channels": spec.in_channels} | made
    if (a := folder("trainA")) and (b := folder("trainB")):
        model: Model = "cyclegan"
        own = {"source": "folders", "a": a, "b": b, "val_a": folder("testA", "valA"), "val_b": folder("testB", "valB")}
        declared, counted = own | common, [a, b]
    elif (train := folder("train")) and folder("val", "test"):
        model = "pix2pix"
        declared, counted = {"source": "aligned", "path": str(data)} | common, [train]
    elif (images := folder("images")) and folder("labels"):
        model = "gaugan"
        parts = ("images", "labels", "instances", "val_images", "val_labels", "val_instances")
        # Besides the classes a generator sees what is unlabelled, and the edges.
        names = [f"class {index}" for index in range(spec.in_channels - 2)]
        declared = {
            "source": "labels",
            **{part: folder(part) for part in parts},
            "names": names,
            "size": common["size"],
            **made,
        }
        counted = [images]
    else:
        raise GancompError(f"{data}: is no folder of pictures in a layout that is known:\n{LAYOUTS}")
    if (model == "gaugan") != spec.reads_labels:
        raise GancompError(
            f"{data}: is laid out for {model}, and the generator is {describe(spec)}; only SPADE generators read label "
            f"maps, and they read nothing else. The layouts:\n{LAYOUTS}"
        )
    if model == "gaugan" and direction == "BtoA":
        raise GancompError(f"{data}: the label map is what a SPADE generator reads; leave the direction out")
    if model != "gaugan" and spec.in_channels > 4:
        raise GancompError(f"{data}: the generator reads {spec.in_channels} channels, and pictures have at most 4")
    if spec.out_channels > 4:
        raise GancompError(f"{data}: the generator makes {spec.out_channels} channels, and pictures have at most 4")
    if spec.out_channels == 2:
        raise GancompError(
            f"{data}: the generator makes 2 channels. If they are the colours a and b of Lab, as in pix2pix's "
            "colorization, gancomp has no such pictures; if they are gray and alpha, write the configuration by hand, "
            "with target_channels: 2 (docs/data.md)"
        )
    count = max(sum(path.suffix.lower() in SUFFIXES for path in Path(part).iterdir()) for part in counted)
    if not count:
        raise GancompError(f"{counted[0]}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return Pictures(model, {key: value for key, value in declared.items() if value is not None}, count)


def search_space(original: GeneratorSpec, budget: str) -> Space:
    """Choices of the widths for a student of *original* (`student_block`): of eight, about 5,000 subnets at most.

    The widest student is taken whose middling subnet meets the budget: about half of the space then competes, and no
    training is spent on widths that are far too wide. Raises GancompError where not even the smallest subnet of the
    narrowest student meets it, with the largest reduction that one does.
    """
    try:
        parse_budget(budget)
    except ValueError as error:
        raise GancompError(str(error)) from None
    limit = budget_macs(budget, original)
    student = GeneratorSpec.model_validate({**dict(original), "block": student_block(original), "hidden": None})

    def macs(widths: Sequence[int]) -> int:
        return profile(student.with_widths(tuple(widths))).macs

    for ladder in LADDERS:
        parts = (ladder[place] for place in _places(original))
        space = [_choices(width, part) for width, part in zip(original.widths, parts, strict=True)]
        space = [choices[:1] if place in student.unused else choices for place, choices in enumerate(space)]
        if macs([choices[len(choices) // 2] for choices in space]) <= limit:
            return space
    least = macs([choices[-1] for choices in space])
    if least > limit:
        whole = profile(original).macs
        raise GancompError(
            f"budget {budget}: allows {limit / 1e9:.3g}G exact MACs, and the smallest subnet that would be searched "
            f"has {least / 1e9:.3g}G; at most {int(10 * whole / least) / 10}x can be asked for"
        )
    return space


def _places(original: GeneratorSpec) -> Sequence[int]:
    count = len(original.widths)
    own = [0 if at < min(2, count - 1) else 2 if at >= count - 2 else 1 for at in range(count)]
    return PLACES.get(original.family, own)


def _method(space: Space) -> dict[str, str]:
    return {"method": "evolution"} if math.prod(map(len, space)) > MOST_SCORED else {}


def student_block(original: GeneratorSpec) -> Block:
    """How a student's residual blocks are made: decomposed, where there are any."""
    if original.network:
        return "separable" if original.network.decomposed else "dense"
    return "dense" if original.family == "unet" else "separable"


def _choices(width: int, eighths: Sequence[int]) -> list[int]:
    """So many eighths of *width*, in multiples that processors like where it is wide."""
    unit = 8 if width >= 64 else 2 if width >= 16 else 1
    return sorted({max(unit, unit * round(part * width / 8 / unit)) for part in eighths}, reverse=True)


# --- the configuration -------------------------------------------------------------------------


def _networks(
    generator: Path,
    key: str | None,
    spec: GeneratorSpec,
    told: Statistics | None,
    discriminator: Path | None,
    declared: dict[str, int],
) -> dict[str, Any]:
    """The imported generator is the original, and teaches; statistics that were *told* the file may not say itself."""
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
    """What an experiment says of its generators, and of the imported one alone."""
    own: dict[str, dict[str, Any]] = {"spade": {"upsampling": spec.upsampling}, "unet": {"downs": spec.downs}}
    widths = spec.widths[0] if len(set(spec.widths)) == 1 else list(spec.widths)
    return {"norm": spec.norm, **own.get(spec.family, {"blocks": spec.blocks})}, {"widths": widths, "block": spec.block}


def _discriminator(model: Model, spec: GeneratorSpec, found: DiscriminatorShape | None) -> dict[str, int]:
    """The discriminator of the model, of as many layers as the pictures have room for; or the one that was found."""
    if found is None:
        usual = DISCRIMINATORS[model]
        room = (min(spec.size) // 3).bit_length() - usual["scales"]
        return usual | {"layers": max(1, min(usual["layers"], room))}
    seen = spec.out_channels + (0 if model == "cyclegan" else spec.in_channels)
    if found.channels != seen or (found.scales is not None) != (model == "gaugan"):
        raise GancompError(
            f"the discriminator is {found}, and that of this {model} generator would see {seen} channels"
            f"{' at several scales' if model == 'gaugan' else ''}; leave it out, or give the one it was trained with"
        )
    return {"ndf": found.ndf, "layers": found.layers, "scales": found.scales or 1}


def _stages(pictures: Pictures, spec: GeneratorSpec, space: Space, epochs: int) -> dict[str, Any]:
    """The objective and what is trained: half of the epochs at the full rate, half falling to zero (Table 5)."""
    steps = STEPS[pictures.model]
    usual = steps | {"epochs_const": epochs // 2, "epochs_decay": epochs - epochs // 2}
    widest = [choices[0] for choices in space]
    # A dense teacher's filters do not fit a separable student's, nor do too few hidden channels; features still teach.
    fits = spec.block == student_block(spec) and spec.hidden_of(max(widest)) >= 2 * max(widest)
    return {
        "objective": OBJECTIVES[pictures.model],
        "distill": usual | {"widths": widest, "prune": fits},
        "supernet": steps | {"epochs_const": epochs, "epochs_decay": epochs, "space": space},
        "finetune": usual,
        "narrow": usual,
    }


def _usual_epochs(count: int) -> int:
    return min(200, max(10, round(PICTURES_SEEN / count)))


def _checked(settings: dict[str, Any], name: str) -> Config:
    """The configuration as the workflow will read it: over the current folder's own, and valid."""
    own = read_yaml(Path("config.yaml")) if Path("config.yaml").exists() else {}
    for kind in ("datasets", "experiments"):
        if name in (own.get(kind) or {}):
            raise GancompError(f"config.yaml: has {kind}.{name} already; choose another --name")
    return parse(merge(own, settings), f"{name}.yaml")


def _yaml(settings: dict[str, Any]) -> str:
    class Plain(yaml.SafeDumper):
        """Without anchors for what is said twice."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(settings, Dumper=Plain, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def _text(settings: dict[str, Any], name: str, folder: Path) -> str:
    """The configuration as a file in *folder*, beside which a network of one's own is described."""
    generator = settings["experiments"][name]["generator"]
    if "network" in generator:
        told = generator | {"network": str(_description(folder, name))}
        settings = merge(settings, {"experiments": {name: {"generator": told}}})
    about = f"# Written by `gancomp compress`; run it by hand with: snakemake --configfile {name}.yaml\n\n"
    return about + _yaml(settings)


def _description(folder: Path, name: str) -> Path:
    return folder / f"{name}.network.json"


def _write(settings: dict[str, Any], name: str, spec: GeneratorSpec, folder: Path) -> Path:
    """Write the configuration into *folder*, and the description of a network of one's own; returns the former."""
    path = folder / f"{name}.yaml"
    text, beside = _text(settings, name, folder), _description(folder, name)
    if spec.network and beside.exists() and read_description(beside) != spec.network:
        raise GancompError(f"{beside}: is there and describes another network; delete it, or choose another --name")
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise GancompError(
            f"{path}: is there and says something else; go on with it by `snakemake --configfile {path}`, or choose "
            "another --name"
        )
    if spec.network and not beside.exists():
        write_text(beside, spec.network.model_dump_json(indent=1) + "\n")
    if not path.exists():
        write_text(path, text)
    return path


# --- what is said, and the workflow ------------------------------------------------------------


def summary(config: Config, name: str, pictures: Pictures) -> str:
    """What is imported, what will be trained and at what cost, in a few lines."""
    experiment, dataset = config.experiments[name], config.datasets[name]
    assert isinstance(experiment.teacher, ImportableTraining)
    assert experiment.distill
    assert experiment.supernet
    original, student = (spec_of(experiment, dataset, stage) for stage in ("original", "distill"))
    whole = profile(original).macs
    least, most = (
        profile(student.with_widths(w)).macs for w in (experiment.supernet.smallest, experiment.supernet.largest)
    )

    def epochs(stage: str) -> str:
        training = getattr(experiment, stage)
        return f"{training.epochs_const + training.epochs_decay:g}"

    kept = (
        f"{experiment.teacher.discriminator}, which students inherit"
        if experiment.teacher.discriminator
        else "none given: students begin against a fresh one, which costs quality (Table 3); --discriminator names one"
    )
    return "\n".join(
        [
            f"{name}: {experiment.model}, {pictures.count:,} training pictures at {dataset.size[0]}x{dataset.size[1]}",
            f"  generator      {describe(original)}: {whole / 1e9:.3f}G exact MACs; it is the original, and teaches",
            f"  discriminator  {kept}",
            f"  budget         {experiment.search.budget}: at most "
            f"{budget_macs(experiment.search.budget, original) / 1e9:.3f}G exact MACs",
            f"  search         {experiment.supernet.subnets:,} {student.block} subnets of {least / 1e9:.3f}G to "
            f"{most / 1e9:.3f}G, student {format_widths(experiment.distill.widths)}",
            f"  trains         student {epochs('distill')} epochs, once-for-all network {epochs('supernet')}, winner "
            f"{epochs('finetune')}, narrow baseline {epochs('narrow')}",
            f"  writes         {name}.yaml, {paths.dataset(name)}/, {paths.RESULTS / name}/",
        ]
    )


def closing(config: Config, name: str) -> str:
    """Where the compressed generator and its report are, and how much smaller it is."""
    folder = paths.RESULTS / name
    macs = read_json(folder / "export" / "card.json")["macs"]
    whole = profile(spec_of(config.experiments[name], config.datasets[name], "original")).macs
    return "\n".join(
        [
            f"{name}: {whole / macs:.1f}x fewer exact MACs ({whole / 1e9:.3f}G → {macs / 1e9:.3f}G)",
            f"  generator  {folder / 'export' / 'model.safetensors'}",
            f"  report     {folder / 'report.html'}",
            f"  table      {folder / 'tables' / 'table.md'}",
        ]
    )


def _planned(configuration: Path, cores: int | None) -> str:
    """The stages that the workflow would run and how many jobs each has."""
    command, environment = _workflow(configuration, cores)
    done = subprocess.run(
        [*command, "--dry-run", "--quiet", "rules", "host"], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise GancompError(f"{configuration.name}: the workflow cannot be planned:\n{done.stderr.strip()}")
    jobs = PLANNED.search(done.stdout)
    return jobs[1] if jobs else "nothing is left to run"


def _snakemake(configuration: Path, cores: int | None) -> None:
    """Run the workflow in the current folder, its messages going where this command's go."""
    command, environment = _workflow(configuration, cores)
    sys.stdout.flush()
    begun = time.time()
    with subprocess.Popen(command, env=environment) as workflow:
        status = _patiently(workflow)
    if status:
        errors = [f"\n\n{log}: {_error_in(log)}" for log in _logs_of_failed(begun)]
        stopped = f"the workflow stopped{'' if errors else ' (see above)'}; the same command goes on where it stopped"
        raise GancompError(f"{configuration}: {stopped}{''.join(errors)}")


def _workflow(configuration: Path, cores: int | None) -> tuple[list[str], dict[str, str]]:
    """The command that runs the workflow in the current folder, and its environment."""
    if not SNAKEFILE.is_file():
        raise GancompError(
            f"{SNAKEFILE}: missing; this command needs the whole repository, installed by `pip install -e .`"
        )
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--configfile", str(configuration)]
    command += ["--cores", str(cores)] if cores else []
    # Rules call `gancomp` by its name.
    searched = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return command, os.environ | {"PATH": searched}


def _logs_of_failed(begun: float) -> list[Path]:
    """The logs of the jobs that failed in the workflow since *begun*, as Snakemake's own log names them."""
    own = [path for path in Path(".snakemake/log").glob("*.log") if path.stat().st_mtime >= begun]
    named = [Path(name) for path in own for name in FAILED_LOG.findall(path.read_text("utf-8", errors="replace"))]
    return [log for log in dict.fromkeys(named) if log.is_file()]


def _error_in(log: Path) -> str:
    """What the stage that wrote *log* said of its end: its error, else the last line with something in it."""
    text = log.read_text("utf-8", errors="replace").strip()
    _, error, words = text.rpartition("gancomp: error: ")
    if error:
        return words
    return re.split(r"[\r\n]", text)[-1] or "the stage stopped without a word, as one does that is killed for memory"


def _patiently(workflow: subprocess.Popen[bytes]) -> int:
    """The status of *workflow*. Ctrl-C reaches it too, and it lets its jobs save their state before it ends."""
    while True:
        try:
            return workflow.wait()
        except KeyboardInterrupt:
            continue
