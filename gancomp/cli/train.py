"""Commands that train."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gancomp.cli.app import (
    ConfigFiles,
    Device,
    DeviceOption,
    DevicesOption,
    Expect,
    ExperimentName,
    MinutesOption,
    Overrides,
    app,
    end_of,
    stage_config,
)

if TYPE_CHECKING:
    from gancomp.config.settings import Config


def _training_command(stage: str, function: str, doc: str) -> None:
    """Register one training stage; they all take the same options."""

    def command(
        experiment: ExperimentName,
        configfile: ConfigFiles = None,
        set_: Overrides = "{}",
        expect: Expect = "",
        device: DeviceOption = Device.auto,
        devices: DevicesOption = None,
        minutes: MinutesOption = None,
    ) -> None:
        until = end_of(minutes)
        config = stage_config(experiment, stage, configfile, set_, expect)
        from gancomp.train import stages
        from gancomp.train.device import Machine

        train: Callable[[Config, str, Machine], None] = getattr(stages, function)
        train(config, experiment, Machine(device.value, devices, until))

    app.command(stage, help=f"{doc} To resume, run the same command again.")(command)


_training_command("original", "train_original", "Train the uncompressed generator.")
_training_command("teacher", "train_teacher", "Train the MobileNet-style teacher.")
_training_command("distill", "train_distilled", "Distil the pruned student from the teacher.")
_training_command("supernet", "train_supernet", "Train the once-for-all network.")
_training_command("finetune", "train_finetuned", "Fine-tune the winner.")
_training_command("narrow", "train_narrow", "Train the uniform narrow baseline from scratch.")
_training_command("scratch", "train_scratch", "Train the winner's widths from scratch.")
