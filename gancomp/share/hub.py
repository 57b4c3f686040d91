"""Generators on the Hugging Face Hub, or a server that speaks as it does (HF_ENDPOINT): safetensors alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gancomp.errors import GancompError
from gancomp.extras import extra
from gancomp.pipeline.files import atomic, file_sha256

MODEL = "model.safetensors"
PREFIX = "hub:"
ADDRESS = re.compile(r"hub:(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Origin:
    """Where a generator was fetched from: *revision* is the commit, *sha256* that of its file."""

    repository: str
    revision: str
    sha256: str


def is_address(path: Path | str) -> bool:
    return isinstance(path, str) and path.startswith(PREFIX)


def fetch(address: str) -> tuple[Path, Origin]:
    """The generator's file of `hub:USER/NAME`, or `hub:USER/NAME@REVISION`, in the hub's own cache.

    Nothing but `model.safetensors` is asked for. GancompError if the address is none, or the hub does not give it.
    """
    repository, revision = _parsed(address)
    with _told(address):
        hub = extra("huggingface_hub")
        path = Path(hub.hf_hub_download(repository, MODEL, revision=revision, endpoint=_endpoint()))
    return path, Origin(repository, path.parent.name, file_sha256(path))


def push(files: Mapping[str, bytes], to: str, private: bool = False) -> str:
    """Lay *files*, by name, into the folder *to*, or into the repository that `hub:USER/NAME` names, made if it is not
    there, as one commit; returns where they are. GancompError if a file of another content is in the folder already, or
    the hub refuses."""
    if not is_address(to):
        return str(_into(Path(to), files))
    repository, revision = _parsed(to)
    if revision is not None:
        raise GancompError(f"{to}: what is pushed becomes a new revision; leave @{revision} out")
    with _told(to):
        hub = extra("huggingface_hub")
        api = hub.HfApi(endpoint=_endpoint())
        api.create_repo(repository, private=private, exist_ok=True)
        operations = [hub.CommitOperationAdd(name, content) for name, content in files.items()]
        done = api.create_commit(repository, operations, commit_message="A generator compressed by gancomp")
    return str(done.commit_url)


def _into(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        if (folder / name).exists() and (folder / name).read_bytes() != content:
            raise GancompError(f"{folder / name}: is there with another content; delete it, or name another folder")
    for name, content in files.items():
        with atomic(folder / name) as path:
            path.write_bytes(content)
    return folder


def _parsed(address: str) -> tuple[str, str | None]:
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise GancompError(f"{address}: expected hub:USER/NAME")
    return found["repository"], found["revision"]


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")


@contextmanager
def _told(address: str) -> Iterator[None]:
    """What the hub's client raises is as varied as what goes wrong: one message names *address*."""
    try:
        yield
    except GancompError:
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        told = f"{type(error).__name__}: {first[:300]}"
        raise GancompError(f"{address}: {told} (what is not public needs `hf auth login` or HF_TOKEN)") from None
