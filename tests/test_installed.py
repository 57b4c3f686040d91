"""gancomp as one gets it: the wheel in an environment of its own, in a folder outside any clone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from gancomp.deploy.demo.web_runtime import FILES as WEB_RUNTIME_FILES
from gancomp.nets import build_generator, save_generator
from gancomp.pipeline.project import FILES
from gancomp.spec import GeneratorSpec

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
HEADER = {"experiment": "", "stage": "original", "signature": ""}
MODULE = """
import gancomp, mynets
network, arguments = mynets.Net(16, 3), {"ngf": 16, "blocks": 3}
gancomp.compress(network, "pictures", "4x", arguments=arguments, size=(32, 32), epochs=2, dry_run=True)
"""


@dataclass(frozen=True)
class Installed:
    """A Python with the wheel in it, which finds what gancomp needs beside this one's."""

    environment: Path
    folder: Path

    @property
    def bin(self) -> Path:
        return self.environment / "bin"

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        return done.stdout

    @property
    def variables(self) -> dict[str, str]:
        left_out = {"SNAKEMAKE_PROFILE", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}
        own = {name: value for name, value in os.environ.items() if name not in left_out}
        return own | {"PATH": f"{self.bin}{os.pathsep}{own['PATH']}"}

    def gancomp(self, *arguments: str | Path) -> str:
        return self.run(self.bin / "gancomp", *arguments)


def build(target: str, source: Path, out: Path) -> Path:
    """What `python -m build` and `pip install` ask hatchling for, without an environment to fetch it into."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin/python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    # After its own packages come this Python's, torch among them; a path in a .pth brings no editable install along.
    (own / "beside.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run(pip, check=True)
    folder = tmp_path_factory.mktemp("away")
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 64, 3), np.uint8)
    for name in ("train", "val"):
        (folder / "pictures" / name).mkdir(parents=True)
        for index, picture in enumerate(noise):
            Image.fromarray(picture).save(folder / "pictures" / name / f"{index}.png")
    found = Installed(environment, folder)
    assert found.run(found.bin / "python", "-c", "import gancomp; print(gancomp.__file__)").startswith(str(environment))
    return found


def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build("sdist", ROOT, tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build("wheel", tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "again")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert {file.filename: file.CRC for file in one.filelist} == {
            file.filename: file.CRC for file in other.filelist
        }
        names = set(one.namelist())
    assert not any("__pycache__" in name or name.startswith("tests/") for name in names)
    assert {f"gancomp/project/{name}" for name in ("Snakefile", "config.yaml", "config/tiny.yaml")} <= names


def test_the_command_answers(installed: Installed) -> None:
    assert re.search(r"^  init +\S", installed.gancomp("--help"), re.MULTILINE)


def test_a_project_begins_and_plans(installed: Installed) -> None:
    said = installed.gancomp("init", "mine")
    assert "cd mine" in said
    project = installed.folder / "mine"
    for name in FILES:
        assert (project / name).exists()
    assert (project / "config.yaml").read_bytes() == (ROOT / "config.yaml").read_bytes()
    inside = Installed(installed.environment, project)
    command = re.findall(r"^    (snakemake -n) ", said, re.MULTILINE)[0].split()[1:]
    planned = inside.run(inside.bin / "python", "-m", "snakemake", *command, "--quiet", "rules", "host")
    run = yaml.safe_load((project / "config.yaml").read_text(encoding="utf-8"))["run"]
    assert run == ["fluent-quick"]
    assert re.search(r"^supernet +1$", planned, re.MULTILINE)


def test_a_checkpoint_is_compressed(installed: Installed) -> None:
    spec = GeneratorSpec(widths=16, size=(32, 32), blocks=3)
    save_generator(installed.folder / "net.safetensors", build_generator(spec), **HEADER)
    arguments = ("--generator", "net.safetensors", "--data", "pictures", "--budget", "4x", "--epochs", "2")
    said = installed.gancomp("compress", *arguments, "--dry-run")
    assert "would write pictures-4x.yaml" in said
    assert re.search(r"^finetune +1$", said, re.MULTILINE)


def test_a_module_is_compressed_from_python(installed: Installed) -> None:
    page = (ROOT / "docs/own-generator.md").read_text(encoding="utf-8")
    (installed.folder / "mynets.py").write_text(page.split("```python\n")[1].split("```")[0])
    (installed.folder / "own.py").write_text(MODULE)
    said = installed.run(installed.bin / "python", "own.py")
    assert "builder: 'mynets:Net'" in said
    assert re.search(r"^finetune +1$", said, re.MULTILINE)


def test_the_generator_that_comes_along_is_shown(installed: Installed) -> None:
    """The browser's runtime, which a registry has, is stood in for: pages run it in other tests."""
    for name in WEB_RUNTIME_FILES:
        path = installed.folder / "data/onnxruntime-web" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"//")
    command = [installed.bin / "gancomp", "demo", "--pretrained", "--no-browser"]
    with subprocess.Popen(
        command, cwd=installed.folder, env=installed.variables, stdout=subprocess.PIPE, text=True
    ) as showing:
        try:
            assert showing.stdout
            address = next(line.split()[0] for line in showing.stdout if line.startswith("http"))
            with urllib.request.urlopen(address, timeout=60) as page:
                assert b"<html" in page.read()
            assert list((installed.folder / "results/pretrained/demo/models").glob("*.onnx"))
        finally:
            showing.terminate()
