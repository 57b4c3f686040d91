"""Generators on the Hugging Face Hub, or a compatible server (HF_ENDPOINT); only safetensors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gancomp.errors import GancompError, first_line
from gancomp.extras import extra
from gancomp.pipeline.files import atomic, file_sha256

MODEL = "model.safetensors"
PREFIX = "hub:"
ADDRESS = re.compile(r"hub:(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Origin:
    """The source of a fetched generator: `revision` is the commit, `sha256` the hash of its file."""

    repository: str
    revision: str
    sha256: str


def is_address(path: Path | str) -> bool:
    return isinstance(path, str) and path.startswith(PREFIX)


def fetch(address: str) -> tuple[Path, Origin]:
    """Fetch the generator of `hub:USER/NAME`, or `hub:USER/NAME@REVISION`, into the hub's cache.

    Downloads only `model.safetensors`. Raises GancompError if the address is invalid, or the download fails.
    """
    repository, revision = _parsed(address)
    with _told(address):
        hub = extra("huggingface_hub")
        path = Path(hub.hf_hub_download(repository, MODEL, revision=revision, endpoint=_endpoint()))
    return path, Origin(repository, path.parent.name, file_sha256(path))


def push(files: Mapping[str, bytes], to: str, private: bool = False) -> str:
    """Write *files*, by name, into the folder *to*, or as one commit into the repository `hub:USER/NAME`, which is
    created if missing; returns the folder or the commit's URL. Raises GancompError if a file in the folder exists with
    other content, or the hub refuses."""
    if not is_address(to):
        return str(_into(Path(to), files))
    repository, revision = _parsed(to)
    if revision is not None:
        raise GancompError(f"{to}: a push creates a new revision; remove @{revision}")
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
            raise GancompError(f"{folder / name}: exists with other content; delete it, or choose another folder")
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
    """Turn all errors of the hub's client into a GancompError with *address*."""
    try:
        yield
    except GancompError:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {first_line(error)}"
        raise GancompError(f"{address}: {told} (private repositories need `hf auth login` or HF_TOKEN)") from None
