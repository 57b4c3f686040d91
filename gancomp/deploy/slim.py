"""The fine-tuned subnet as a file of its own, checked against the network that it came from."""

from __future__ import annotations

import torch

from gancomp.config.settings import Config
from gancomp.data.datasets import Pictures
from gancomp.elastic.slicing import extract
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.nets import load_generator, save_generator
from gancomp.pipeline import paths
from gancomp.pipeline.files import file_sha256, write_json
from gancomp.pipeline.places import model_of
from gancomp.pipeline.provenance import provenance
from gancomp.pipeline.signatures import signature

#: Largest difference between two computations of the same picture, in [-1, 1]: 1/8 of an 8-bit step.
TOLERANCE = 1e-3
CHECKED_PICTURES = 8


@torch.inference_mode()
def export_slim(config: Config, experiment: str) -> None:
    """Write the winner's generator and its card.

    Before that, on real inputs: the extracted subnet must give the once-for-all network's picture at those widths,
    and the file just written must give the fine-tuned generator's. BatchNorm's running statistics are the subnet's
    own, estimated for it, and the once-for-all network borrows them. Raises GancompError, naming the difference, if
    either does not.
    """

    def upstream(stage: str) -> str:
        return str(model_of(config, experiment, stage))

    settings = config.experiments[experiment]
    pictures = Pictures(paths.dataset(settings.dataset), ("val",), config.datasets[settings.dataset].direction)
    x = pictures.encode(pictures.inputs(range(min(CHECKED_PICTURES, len(pictures)))))

    whole, subnet, tuned = (load_generator(upstream(stage)) for stage in ("supernet", "subnet", "finetune"))
    try:
        same = extract(whole, subnet.spec.widths)
    except ValueError as error:
        raise GancompError(
            f"{upstream('subnet')}: was not cut out of {upstream('supernet')} ({error}); run the stages from subnet on "
            "again"
        ) from None
    same.load_state_dict(dict(subnet.named_buffers()), strict=False)
    extracted = _difference(same(x), subnet(x), upstream("subnet"))

    folder = paths.stage(experiment, "export")
    path = folder / "model.safetensors"
    about = {"experiment": experiment, "stage": "export", "signature": signature(config, experiment, "export")}
    save_generator(path, tuned, **about)
    saved = _difference(tuned(x), load_generator(path)(x), str(path))
    counted = profile(tuned.spec)
    write_json(
        folder / "card.json",
        {
            "experiment": experiment,
            "spec": tuned.spec.model_dump(mode="json"),
            "params": counted.params,
            "macs": counted.macs,
            "macs_paper": counted.macs_paper,
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
            "max_difference": {"once-for-all network, extracted subnet": extracted, "fine-tuned, exported": saved},
            **provenance(),
        },
    )


def _difference(expected: torch.Tensor, got: torch.Tensor, path: str) -> float:
    difference = float((expected - got).abs().max())
    if not difference <= TOLERANCE:
        raise GancompError(
            f"{path}: its pictures differ from those of the network that it was cut from by {difference:.2g} "
            f"(at most {TOLERANCE} is rounding); delete it and run its stage again"
        )
    return difference
