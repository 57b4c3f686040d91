"""What the pages say: their commands exist, their YAML is valid, their links lead somewhere, their costs hold."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.core
import typer.main
import yaml

from benchmarks.cost import table
from gancomp.cli.main import app
from gancomp.config.loading import load, parse, read_yaml
from gancomp.config.loading import merge as merge_settings

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / page for page in ("README.md", "CONTRIBUTING.md", "config/README.md")),
    *(page for folder in ("docs", "benchmarks") for page in sorted((ROOT / folder).glob("**/*.md"))),
]
COMMANDS = typer.main.get_command(app)
#: What one compression of pairs, all subnets scored, has no need of.
OF_OTHER_WORK = {
    *("profile", "judge", "perceptual", "lpips", "convert", "compress", "cost", "groups", "init", "card", "push"),
    *("halve", "evolve", "scratch", "paper", "comparison", "vote-page", "votes", "space"),
    *("compare", "watch", "tensorboard", "times"),
    *("export", "apply", "web-runtime", "demo-page", "demo", "explore", "latency", "subnet-latency", "sensitivity"),
}
#: Of the openmoji emoji, those with an outline that is not one flat colour.
TRAIN_1, TRAIN_2, VAL = 1578, 277, 313


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def gancomp_calls(page: Path) -> list[list[str]]:
    """Every `gancomp …` of the page's shell blocks, as arguments; loop variables stand for a value."""
    lines = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    found = [match[1] for line in lines for match in re.finditer(r"(?:^|\bdo |\d )gancomp ([^;#]+)", line)]
    calls = [shlex.split(call.replace("$shard", "0").replace("$stage", "original")) for call in found]
    return [call[2:] if call[0] == "--builder" else call for call in calls]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist_and_take_these_arguments(page: Path) -> None:
    assert isinstance(COMMANDS, typer.core.TyperGroup)
    for name, *arguments in gancomp_calls(page):
        assert name in COMMANDS.commands, f"{page.name}: gancomp {name}"
        COMMANDS.commands[name].make_context(name, arguments)


def test_the_network_of_the_page_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands there, and with the widths that the page names."""
    from gancomp.compression.imported import imported

    page = ROOT / "docs/own-generator.md"
    (tmp_path / "mynets.py").write_text(blocks(page, "python")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    spec, _ = imported("mynets:build", size=(32, 32))
    assert spec.network
    assert {"down", "up"} < set(spec.network.names)
    assert spec.network.decomposed


def test_the_run_book_goes_through_every_stage() -> None:
    named = {name for name, *_ in gancomp_calls(ROOT / "docs/gpu.md")}
    assert isinstance(COMMANDS, typer.core.TyperGroup)
    assert named == set(COMMANDS.commands) - OF_OTHER_WORK


@pytest.mark.parametrize(
    ("page", "count"),
    [
        ("config/README.md", 1),
        ("docs/workflow.md", 1),
        ("docs/data.md", 3),
        ("docs/checkpoints.md", 1),
        ("docs/study.md", 1),
        ("docs/deploy.md", 2),
        ("docs/metrics.md", 1),
        ("docs/watch.md", 2),
    ],
)
def test_yaml_is_a_valid_configuration(page: str, count: int) -> None:
    settings = [yaml.safe_load(block) for block in blocks(ROOT / page, "yaml")]
    assert len(settings) == count
    for own in settings:
        parse(merge_settings(read_yaml(ROOT / "config.yaml"), own), page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_every_room_is_on_the_map() -> None:
    told = re.findall(r"^\| `(\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(told) == sorted(path.parent.name for path in (ROOT / "gancomp").glob("*/__init__.py"))


def test_what_is_promised_is_tested() -> None:
    """Every test that the page names is one, in the file that it links to."""
    page = ROOT / "docs/reliability.md"
    named = re.findall(r"\[`(\w+\.py)(?:::(\w+))?`\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert len(named) > 50
    for file, test, link in named:
        path = (page.parent / link).resolve()
        assert path.name == file
        assert not test or re.search(rf"^def {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE), test


def test_the_costs_are_those_of_the_configuration() -> None:
    page = (ROOT / "docs/gpu.md").read_text(encoding="utf-8")
    told = re.search(r"<!-- cost:emoji-256 -->\n(.*)\n<!-- /cost -->", page, re.DOTALL)
    assert told
    now = table(load([ROOT / "config.yaml"]), "emoji-256", TRAIN_1, TRAIN_2, VAL)
    again = "python benchmarks/cost.py"
    assert told[1] == now, f"docs/gpu.md: replace its cost table by what `{again}` prints"
