"""Commands that hand a generator to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancomp.cli.app import ConfigFiles, Overrides, app, experiment_config

ModelName = Annotated[str, typer.Argument(help="an experiment whose generator was exported, or a model.safetensors")]


def _shared(model: str, configfile: list[Path] | None, set_: str, address: str) -> tuple[dict[str, bytes], Path]:
    """The files to hand on, and the folder of the generator."""
    from gancomp.pipeline.places import folder
    from gancomp.report.reading import require
    from gancomp.share.card import ATTRIBUTION, CARD, card, trained
    from gancomp.share.hub import MODEL

    about, file = None, Path(model)
    if file.suffix != ".safetensors":
        config = experiment_config(model, configfile, set_)
        about = trained(config, model)
        file = require(folder(config, model, "export") / MODEL, "export")
    files = {CARD: card(file, about, address).encode(), MODEL: file.read_bytes()}
    return files | ({ATTRIBUTION: about.attribution.encode()} if about else {}), file.parent


@app.command("card")
def card_(model: ModelName, configfile: ConfigFiles = None, set_: Overrides = "{}") -> None:
    """Write a generator's model card beside it, in the layout of the Hugging Face Hub."""
    from gancomp.share.card import CARD
    from gancomp.share.hub import push

    files, folder = _shared(model, configfile, set_, "hub:USER/NAME")
    print(Path(push({CARD: files[CARD]}, str(folder))) / CARD)


@app.command("push")
def push_(
    model: ModelName,
    to: Annotated[str, typer.Option(help="a folder, or hub:USER/NAME")],
    private: Annotated[bool, typer.Option("--private", help="the repository, if it is made now")] = False,
    configfile: ConfigFiles = None,
    set_: Overrides = "{}",
) -> None:
    """Hand a generator on with its card and the attribution of its data: into a folder, or to the Hugging Face Hub."""
    from gancomp.share.hub import is_address, push

    files, _ = _shared(model, configfile, set_, to if is_address(to) else f"{to}/model.safetensors")
    print(push(files, to, private))
