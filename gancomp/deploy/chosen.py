"""A subnet that a person chose, cut out of the once-for-all network into a file of its own."""

from __future__ import annotations

from pathlib import Path

from gancomp.config.settings import Config
from gancomp.data.calibration import calibration_batches
from gancomp.elastic.calibrate import calibrate, has_batch_statistics
from gancomp.elastic.slicing import extract
from gancomp.nets import save_generator
from gancomp.nets.generator import Generator
from gancomp.pipeline import paths
from gancomp.pipeline.signatures import signature
from gancomp.search.scores import load_supernet
from gancomp.search.widths import widths_in_space
from gancomp.spec import Widths, format_widths
from gancomp.train.device import single_device


def export_widths(config: Config, experiment: str, text: str, out: Path | None = None) -> Path:
    """Write the subnet of the widths that *text* names, as the search scored it, not fine-tuned; returns the path.

    Without *out* that is `explore/{widths}.safetensors` of *experiment*. Raises GancompError where the space has no
    such subnet, or there is no once-for-all network yet.
    """
    widths = widths_in_space(config, experiment, text)
    path = out or paths.stage(experiment, "explore") / f"{format_widths(widths)}.safetensors"
    about = {"experiment": experiment, "stage": "explore", "signature": signature(config, experiment, "supernet")}
    save_generator(path, cut_out(config, experiment, widths), **about)
    return path


def cut_out(config: Config, experiment: str, widths: Widths) -> Generator:
    """The subnet of *widths*, its BatchNorm statistics estimated anew as when it was scored."""
    settings = config.experiments[experiment]
    dataset, root = config.datasets[settings.dataset], paths.dataset(settings.dataset)
    subnet = extract(load_supernet(config, experiment), widths)
    if has_batch_statistics(subnet):
        machine = single_device(settings.precision)
        batches = calibration_batches(root, dataset, settings.calibration, settings.seed, machine.device)
        with machine.autocast():
            calibrate(subnet.to(machine.device), batches())
    return subnet
