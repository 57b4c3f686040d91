"""Resume state: everything a training stage needs to continue without a difference in the result."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from gancomp.errors import GancompError
from gancomp.pipeline.files import atomic


@dataclass
class Progressed:
    """Progress of a stage: steps done, their seconds over all runs, and notes."""

    step: int = 0
    elapsed: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)


def save_state(
    path: Path, signature: str, progressed: Progressed, parts: Mapping[str, torch.nn.Module | torch.optim.Optimizer]
) -> None:
    """Write the state of networks and optimisers beside *progressed*, in one atomic file."""
    state = {
        "signature": signature,
        "step": progressed.step,
        "elapsed": progressed.elapsed,
        "notes": progressed.notes,
        "parts": {name: part.state_dict() for name, part in parts.items()},
    }
    with atomic(path) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # torch's error for a full disk
            raise GancompError(f"{path}: cannot be written; is the disk full? ({error})") from error


def load_state(path: Path, signature: str, parts: Mapping[str, torch.nn.Module | torch.optim.Optimizer]) -> Progressed:
    """Restore *parts* from *path*, or start from the beginning if there is no such file.

    Raises GancompError with the file's name if it is damaged or belongs to another configuration.
    """
    if not path.exists():
        return Progressed()
    mend = f"delete the folder {path.parent} to train this stage from its beginning"
    try:
        _check(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["signature"] != signature:
            raise GancompError(
                f"{path}: this resume state was made by another configuration or other code, on other pictures or "
                f"from other networks (signature {state['signature']}, now {signature}); restore "
                f"them to continue it, or {mend}"
            )
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        return Progressed(state["step"], state["elapsed"], state["notes"])
    except GancompError:
        raise
    except Exception as error:  # garbage makes the unpickler raise anything: IndexError, AttributeError, …
        raise GancompError(f"{path}: damaged resume state ({type(error).__name__}: {error}); {mend}") from None


def _check(path: Path) -> None:
    """Check what torch.load does not: the checksums, and that no member is marked as a folder."""
    with zipfile.ZipFile(path) as archive:
        marked = [entry.filename for entry in archive.infolist() if entry.external_attr]
        if (spoilt := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {spoilt} is another")
    if marked:
        raise ValueError(f"{marked[0]} is no plain file")


def forget_state(folder: Path) -> None:
    """Remove a finished stage's resume folder, the state first, since it must not be continued without its log."""
    (folder / "state.pt").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
