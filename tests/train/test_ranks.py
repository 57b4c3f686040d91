"""A batch shared by two ranks gives the weights that one process gives it, to rounding."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import EXPERIMENT, Workspace

from gancomp import ranks
from gancomp.errors import GancompError
from gancomp.pipeline.checkpoints import load_tensors
from gancomp.train.device import claim

PROGRAM = Path(__file__).with_name("ranks_run.py")
#: Differences in the last bits of losses, which are float32, turned into steps by Adam.
TOLERANCE = 1e-6
TIMES = ("images_per_second", "elapsed_seconds")


#: A teacher that trains along, without what looks through a perceptual network. A deep one, whose norms see four pixels
#: by four here, turns differences in the last bits into others within ten steps.
OMGD = {
    "objective": {"distillation": "omgd", "omgd": {"teachers": "wide"}, "terms": {"gram": 0, "content": 0}},
    "distill": {"prune": False},
}


def run(own: Workspace, stage: str, devices: int, **experiment: Any) -> subprocess.CompletedProcess[str]:
    shutil.rmtree(own.stage(stage))
    job = {"folder": str(own.folder), "stage": stage, "devices": devices, "settings": own.settings(**experiment)}
    (own.folder / "job.json").write_text(json.dumps(job))
    env = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "WORLD_SIZE")}
    return subprocess.run(
        [sys.executable, str(PROGRAM), str(own.folder / "job.json")],
        env=env | {"PYTHONPATH": str(PROGRAM.parents[1]), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("model", "stage", "experiment"),
    [
        pytest.param("pix2pix", "teacher", {}, marks=pytest.mark.slow),
        pytest.param("pix2pix", "distill", {"objective": {"lambda_distill": 0}}, marks=pytest.mark.slow),
        pytest.param("pix2pix", "distill", OMGD, marks=pytest.mark.slow),
        ("pix2pix", "supernet", {"supernet": {"sampler": "sandwich"}}),
        pytest.param("cyclegan", "teacher", {"teacher": {"batch": 2}}, marks=pytest.mark.slow),
        pytest.param("gaugan", "supernet", {}, marks=pytest.mark.slow),
    ],
)
def test_two_ranks_are_one(
    model: str, stage: str, experiment: dict[str, Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    finished: Workspace = request.getfixturevalue("finished" if model == "pix2pix" else f"finished_{model}")
    found = {}
    for devices in (1, 2):
        own = finished.copy(tmp_path / str(devices))
        done = run(own, stage, devices, **experiment)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout.count("L1 on train-2") in (0, 2)  # said once, by the first rank
        assert not own.resume(stage).exists()
        with (own.stage(stage) / "log.csv").open(newline="") as stream:
            rows = [
                {name: float(value) for name, value in row.items() if name not in TIMES}
                for row in csv.DictReader(stream)
            ]
        found[devices] = {path.name: load_tensors(path)[0] for path in own.stage(stage).glob("*.safetensors")}, rows
    (alone, log_alone), (shared, log_shared) = found.values()
    assert alone.keys() == shared.keys()
    for name, tensors in alone.items():
        for key, tensor in tensors.items():
            torch.testing.assert_close(shared[name][key], tensor, rtol=TOLERANCE, atol=TOLERANCE, msg=f"{name} {key}")
    assert len(log_alone) == len(log_shared) > 1
    for one, other in zip(log_alone, log_shared, strict=True):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-6)


def test_a_batch_that_cannot_be_shared_is_refused(finished: Workspace, tmp_path: Path) -> None:
    own = finished.copy(tmp_path)
    done = run(own, "teacher", 2, teacher={"batch": 3})
    assert done.returncode != 0
    assert "teacher.batch: 3 pictures cannot be shared by 2 devices" in done.stderr


def test_alone_a_rank_has_all() -> None:
    assert (ranks.count(), ranks.is_first(), ranks.share(5)) == (1, True, slice(0, 5))
    assert torch.equal(ranks.averaged(torch.tensor([1.0, 3.0])), torch.tensor([1.0, 3.0]))
    assert ranks.anywhere(True, torch.device("cpu"))
    assert not ranks.anywhere(False, torch.device("cpu"))


CLAIMS = """
import sys, time
from pathlib import Path
from gancomp.train.device import claim
print(*claim(["0", "1"], 1, Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_each_job_has_a_device_of_its_own(tmp_path: Path) -> None:
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    claimed = [job.stdout.readline().strip() for job in jobs if job.stdout]
    assert sorted(claimed) == ["0", "1"]
    jobs[0].kill()  # a job that dies, however it dies, leaves its device
    jobs[0].wait()
    assert claim(["0", "1"], 1, tmp_path) == [claimed[0]]
    jobs[1].communicate("")


def test_more_devices_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match="--devices 3: there are 2"):
        claim(["0", "1"], 3, tmp_path)


def test_the_configuration_says_how_many(finished: Workspace) -> None:
    from gancomp.config.loading import parse
    from gancomp.pipeline.signatures import signature

    one, two = (parse(finished.settings() | {"devices": devices}) for devices in (1, 2))
    assert (one.devices, two.devices) == (1, 2)
    # How many share the work is no part of what is computed.
    assert signature(one, EXPERIMENT, "teacher") == signature(two, EXPERIMENT, "teacher")
