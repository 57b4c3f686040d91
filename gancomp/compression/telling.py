"""The messages before a compression begins and after it has finished."""

from __future__ import annotations

from gancomp.compression.pictures import Pictures
from gancomp.config.checks import spec_of
from gancomp.config.searching import budget_macs
from gancomp.config.settings import Config
from gancomp.config.training import ImportableTraining
from gancomp.convert.telling import describe
from gancomp.measure.macs import profile
from gancomp.pipeline import paths
from gancomp.pipeline.files import read_json
from gancomp.spec import format_widths


def summary(config: Config, name: str, pictures: Pictures) -> str:
    """A few lines on the imported networks, the trainings and their cost."""
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
        else "none: students start with a new one, which costs quality (Table 3); --discriminator FILE names one"
    )
    return "\n".join(
        [
            f"{name}: {experiment.model}, {pictures.count:,} training pictures at {dataset.size[0]}x{dataset.size[1]}",
            f"  generator      {describe(original)}: {whole / 1e9:.3f}G exact MACs; original and teacher",
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
    """The paths of the compressed generator and its report, and the reduction of MACs."""
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
