"""Commands that fetch and prepare pictures and the networks that score them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gancomp.cli.app import ConfigFiles, DatasetName, Device, DeviceOption, Overrides, app, read_config
from gancomp.errors import GancompError

if TYPE_CHECKING:
    from gancomp.config.settings import Config


@app.command()
def inception() -> None:
    """Fetch and verify the weights of the FID network."""
    from gancomp.metrics.inception_weights import fetch
    from gancomp.pipeline import paths

    fetch(paths.INCEPTION, paths.DOWNLOADS)


@app.command()
def dataset(name: DatasetName, configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
    """Fetch, verify, build and split a data set."""
    config = read_config(configfile, set_)
    known_dataset(config, name)
    from gancomp.data.build import build
    from gancomp.pipeline import paths

    build(name, config.datasets[name], paths.dataset(name), paths.DOWNLOADS)


@app.command()
def statistics(
    name: DatasetName,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    device: DeviceOption = Device.auto,
) -> None:
    """Compute the features of the real targets, for every FID and what is measured like it."""
    config = read_config(configfile, set_)
    known_dataset(config, name)
    from gancomp.metrics.embedding import Embedding
    from gancomp.metrics.given import given_on
    from gancomp.metrics.inception import Inception
    from gancomp.metrics.statistics import Extractor, write_statistics
    from gancomp.pipeline import paths
    from gancomp.train.device import take_device

    given, taken = given_on(config, name), take_device(device.value)
    networks: dict[str, Extractor] = {}
    for precision in config.precisions_of(name):
        network = Inception(paths.INCEPTION, precision=precision, device=device.value)
        networks[network.key] = network
    for precision in config.clean_precisions_of(name):
        network = Inception(paths.INCEPTION, precision=precision, device=device.value, resizing="clean")
        networks[network.key] = network
    for weights in given:
        embedding = Embedding(weights, taken)
        networks[embedding.key] = embedding
    root = paths.dataset(name)
    write_statistics(root, list(networks.values()), root / "statistics.safetensors")


@app.command()
def judge(
    name: DatasetName,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
    device: DeviceOption = Device.auto,
) -> None:
    """Train or fetch the segmentation network that labels generated pictures, and validate it on real ones."""
    config = read_config(configfile, set_)
    known_dataset(config, name)
    from gancomp.train.judge import train_judge

    train_judge(config, name, device.value)


@app.command()
def perceptual(network: Annotated[str, typer.Argument(help="vgg19, vgg16 or efficientnet-lite0")]) -> None:
    """Fetch and verify the network of GauGAN's perceptual loss."""
    from gancomp.objectives.perceptual import fetch_perceptual
    from gancomp.pipeline import paths

    fetch_perceptual(network, paths.perceptual(network), paths.DOWNLOADS)


@app.command()
def lpips() -> None:
    """Fetch the networks of LPIPS, or record that its backbone cannot be fetched."""
    from gancomp.metrics.lpips import fetch_lpips
    from gancomp.pipeline import paths

    fetch_lpips(paths.LPIPS, paths.DOWNLOADS)


def known_dataset(config: Config, name: str) -> None:
    if name not in config.datasets:
        raise GancompError(f"no data set {name!r}; there are: {', '.join(config.datasets) or 'none'}")
