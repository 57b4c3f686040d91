"""What the repository promises as a package: pins in step and explained, nothing of one machine in it."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import gancomp
from gancomp import extras

ROOT = Path(__file__).parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DEPENDENCIES: list[str] = PYPROJECT["project"]["dependencies"]
EXTRAS: dict[str, list[str]] = PYPROJECT["project"]["optional-dependencies"]
OPTIONAL: list[str] = [pin for pins in EXTRAS.values() for pin in pins]
#: A gigabyte, so `uv sync` leaves it out; .ci/run asks for it.
HEAVY = "mobile"
ITSELF, *DEVELOPMENT = PYPROJECT["dependency-groups"]["dev"]


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """What git tracks or would add."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout, so nothing says which files are tracked")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def texts(files: list[Path]) -> list[tuple[Path, str]]:
    readable = []
    for path in files:
        try:
            readable.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue  # a picture
    return readable


def test_environment_has_the_same_pins() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, _, section = environment["dependencies"]
    assert python == f"python{PYPROJECT['project']['requires-python']}"
    assert section["pip"] == [
        *DEPENDENCIES,
        *(pin for pin in OPTIONAL if pin not in EXTRAS[HEAVY]),
        *DEVELOPMENT,
        "-e .",
    ]


def test_what_is_developed_has_every_extra_but_the_heavy_one() -> None:
    assert f"gancomp[{','.join(name for name in EXTRAS if name != HEAVY)}]" == ITSELF
    assert f"uv sync --quiet --extra {HEAVY}" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_an_extra_that_the_code_names_is_there() -> None:
    for module, name in extras.EXTRAS.items():
        assert normalised(module) in {normalised(re.split(r"[\[<>=!~ ]", pin)[0]) for pin in EXTRAS[name]}


@pytest.mark.parametrize("pin", [*DEPENDENCIES, *OPTIONAL, *DEVELOPMENT])
def test_every_dependency_says_why(pin: str) -> None:
    declared, *_tools = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("\n[tool.")
    (line,) = [line for line in declared.splitlines() if f'"{pin}"' in line]
    assert re.search(r"# \w.{3,}$", line), f"pyproject.toml: say in a comment why {pin} is needed"


def test_what_the_package_imports_is_declared() -> None:
    declared = {normalised(re.split(r"[\[<>=!~ ]", pin)[0]) for pin in [*DEPENDENCIES, *OPTIONAL]}
    owners = importlib.metadata.packages_distributions()
    undeclared = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in (ROOT / "gancomp").rglob("*.py")
        for module in imported(ast.parse(path.read_text(encoding="utf-8")))
        if module not in sys.stdlib_module_names and module != "gancomp"
        if not declared & {normalised(name) for name in owners.get(module, [module])}
    }
    assert not undeclared


def normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def imported(tree: ast.Module) -> set[str]:
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module.split(".")[0])
    return modules


def test_the_image_holds_what_the_package_is_built_from() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = {name for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE) for name in line.split()[:-1]}
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert copied == set(let_through)
    assert copied >= {"pyproject.toml", PYPROJECT["project"]["readme"], *wheel["packages"], *wheel["force-include"]}


def test_one_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert gancomp.__version__ == PYPROJECT["project"]["version"] == citation["version"]


def test_the_paper_is_cited() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = citation["references"][0]
    assert paper["title"] == "GAN Compression: Efficient Architectures for Interactive Conditional GANs"
    assert [author["family-names"] for author in paper["authors"]] == ["Li", "Lin", "Ding", "Liu", "Zhu", "Han"]


def test_no_lock_file_is_tracked(files: list[Path]) -> None:
    assert not [path for path in files if path.suffix == ".lock" or path.name.endswith(("-lock.json", ".lock.yml"))]


def test_nothing_of_one_machine_is_in_the_files(files: list[Path]) -> None:
    private = re.compile(rf"(?<![\w.])/(?:home|root|Users|work)/\w|{re.escape(str(ROOT))}\b")
    registries = re.compile("|".join(("py" + r"pi\.org", "python" + r"hosted\.org", "ana" + r"conda\.(?:org|com)")))
    faults = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path, text in texts(files)
        for pattern in (private, registries)
        if (found := pattern.search(text))
    ]
    assert not faults


def test_no_file_is_large(files: list[Path]) -> None:
    large = [f"{path.relative_to(ROOT)}: {size:,} bytes" for path in files if (size := path.stat().st_size) > 2_000_000]
    assert not large, "pictures and small generators travel with the code; data and large weights do not"
