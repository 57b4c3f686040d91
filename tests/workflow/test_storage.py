"""Results in an object store, by Snakemake's plugin for S3, against a server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import yaml
from moto.server import ThreadedMotoServer
from PIL import Image

from tests.workflow.conftest import ROOT, Plan, run_snakemake

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "run": ["mine"],
    "datasets": {"pairs": {"source": "aligned", "path": "pictures", "size": 32, "search_count": 2}},
    "experiments": {"mine": {"dataset": "pairs", "original": {"widths": 8}}},
}
KEYS = "access", "secret"
LOCAL = ".snakemake/storage/s3/gan"


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As docs/cluster.md sets it up: data and results are links into the local copies of what is stored."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
    for name in ("data", "results"):
        (tmp_path / LOCAL / name).mkdir(parents=True)
        (tmp_path / name).symlink_to(f"{LOCAL}/{name}")
    for side, count in (("train", 8), ("val", 2)):
        (tmp_path / "pictures" / side).mkdir(parents=True)
        for index in range(count):
            drawn = np.random.default_rng(index + count).integers(0, 255, (32, 64, 3), np.uint8)
            Image.fromarray(drawn).save(tmp_path / "pictures" / side / f"{index}.png")
    return tmp_path


def test_what_rules_declare_is_stored_and_the_rest_stays_here(folder: Path, endpoint: str) -> None:
    access, secret = KEYS
    client = boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id=access, aws_secret_access_key=secret, region_name="us-east-1"
    )
    client.create_bucket(Bucket="gan")

    def run() -> Plan:
        return run_snakemake(
            folder,
            *("--snakefile", ROOT / "Snakefile", "--cores", "1", "data/pairs/manifest.json"),
            *("--default-storage-provider", "s3", "--default-storage-prefix", "s3://gan"),
            *("--storage-s3-endpoint-url", endpoint, "--storage-s3-region", "us-east-1"),
            *("--storage-s3-access-key", access, "--storage-s3-secret-key", secret, "--keep-storage-local-copies"),
            timeout=600,
        )

    done = run()
    assert done.status == 0, done.text
    stored = {found["Key"] for found in client.list_objects_v2(Bucket="gan")["Contents"]}
    assert stored == {
        f"data/{name}" for name in ("pairs/manifest.json", *(f"logs/pairs.dataset.{s}" for s in ("log", "tsv")))
    }
    assert len(list((folder / "data/pairs/train").iterdir())) == 8
    # What is stored counts, not its copy here.
    (folder / "data/pairs/manifest.json").unlink()
    again = run()
    assert again.nothing_to_be_done, again.text
