"""The command line: quick help without torch, and one message for every mendable error."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.core
import typer.main
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gancomp.cli import app as cli
from gancomp.cli import main as entry
from gancomp.config.loading import parse
from gancomp.measure.macs import profile
from gancomp.nets import save_generator
from gancomp.pipeline.checkpoints import read_header
from gancomp.pipeline.signatures import STAGE_VERSION, signature
from gancomp.pipeline.stages import STAGES
from gancomp.spec import GeneratorSpec
from tests.convert.foreign import Resnet, patch_gan, saved
from tests.strategies import lively

SETTINGS: dict[str, Any] = {
    "datasets": {"pairs": {"source": "aligned", "path": "pairs", "size": 32}},
    "experiments": {
        "mine": {
            "dataset": "pairs",
            "original": {"widths": 8},
            "teacher": {"widths": 6},
            "distill": {"widths": 4},
            "supernet": {"space": [[4, 2]] * 8},
            "search": {"budget": "5x"},
        }
    },
}
GROUP = typer.main.get_command(cli.app)
assert isinstance(GROUP, typer.core.TyperGroup)
COMMANDS: dict[str, Any] = dict(GROUP.commands)


def taking(parameter: str) -> list[str]:
    """The commands that have *parameter*."""
    return [name for name, command in COMMANDS.items() if parameter in {own.name for own in command.params}]


def asking_for(name: str, command: str) -> list[str]:
    """Arguments of *command* on the experiment or data set *name*."""
    more = {"evaluate": ["finetune"], "votes": ["votes.json"]}
    return [command, name, *more.get(command, [])]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a configuration and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
    return tmp_path


class Called:
    """`gancomp ARGUMENTS` in this process: status, output, error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["gancomp", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            entry.main()
        out, err = self._capsys.readouterr()
        return int(stop.value.code or 0), out, err

    def error(self, *arguments: str | Path) -> str:
        """The one message of a call that must fail."""
        status, out, err = self(*arguments)
        assert (status, out) == (1, ""), err
        assert err.startswith("gancomp: error: ")
        return err.removeprefix("gancomp: error: ")

    def output(self, *arguments: str | Path) -> str:
        """The output of a call that must succeed."""
        status, out, err = self(*arguments)
        assert (status, err) == (0, "")
        return out


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    return Called(monkeypatch, capsys)


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)


# --- help --------------------------------------------------------------------------------------

#: Runs each list of arguments, one a line, and ends with the libraries that were imported.
WATCH = """
import contextlib, io, json, sys
from gancomp.cli import main as entry
for line in sys.argv[2:]:
    sys.argv[1:] = json.loads(line)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            entry.main()
        except SystemExit as stop:
            status = stop.code
    print(json.dumps([status or 0, said.getvalue()]))
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def watched(*calls: list[str]) -> tuple[list[tuple[int, str]], set[str]]:
    """Status and text of each call in one fresh process, and what they imported together."""
    done = python(WATCH, "", *map(json.dumps, calls))
    assert done.returncode == 0, done.stderr
    *results, modules = [json.loads(line) for line in done.stdout.splitlines()]
    return [(status, text) for status, text in results], set(modules)


def test_help_imports_next_to_nothing() -> None:
    ((status, text),), modules = watched(["--help"])
    assert status == 0
    assert all(command in text for command in COMMANDS)
    assert not modules & {"torch", "numpy", "pandas", "pydantic", "yaml", "rich", "matplotlib", "snakemake"}


def test_help_of_every_command_imports_no_torch() -> None:
    results, modules = watched(["-h"], *([command, "--help"] for command in COMMANDS))
    for name, (status, text) in zip(["", *COMMANDS], results, strict=True):
        assert status == 0
        assert text.startswith(f"Usage: gancomp {name}".rstrip())
    assert not modules & {"torch", "numpy", "pandas", "matplotlib", "snakemake"}


def test_every_command_says_what_it_does() -> None:
    for name, command in COMMANDS.items():
        assert re.match(r"[A-Z].{15,}\.", command.help), name


def test_a_wrong_name_is_told_before_torch_is_imported(folder: Path) -> None:
    named = taking("experiment") + [command for command in taking("name") if command != "compress"]
    assert {"dataset", "statistics", "original", "search", "evaluate", "benchmark", "tables"} <= set(named)
    results, modules = watched(*(asking_for("nobody", command) for command in named))
    for command, (status, text) in zip(named, results, strict=True):
        kind, known = ("experiment", "mine") if command in taking("experiment") else ("data set", "pairs")
        assert (status, text) == (1, f"gancomp: error: no {kind} 'nobody'; there are: {known}\n"), command
    assert "torch" not in modules


def test_the_entry_point() -> None:
    (script,) = (entry for entry in importlib.metadata.entry_points(group="console_scripts") if entry.name == "gancomp")
    assert script.value == "gancomp.cli.main:main"


def test_the_installed_command_fails_with_one_message(folder: Path) -> None:
    command = Path(sys.executable).parent / "gancomp"
    done = subprocess.run([command, "select", "nobody"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "gancomp: error: no experiment 'nobody'; there are: mine\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["original"],
        ["original", "mine", "--nothing"],
        ["original", "mine", "--device", "tpu"],
        ["evaluate", "mine", "supernet"],
        ["merge", "mine", "--shards", "0"],
        ["merge", "mine", "--shards", "x"],
        ["profile", "--blocks", "x"],
    ],
    ids=" ".join,
)
def test_misuse_shows_the_usage(folder: Path, call: Called, arguments: list[str]) -> None:
    status, out, err = call(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("Usage: gancomp")
    assert "Traceback" not in err


# --- errors ------------------------------------------------------------------------------------


def test_no_configuration_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Called) -> None:
    monkeypatch.chdir(tmp_path)
    assert call.error("select", "mine") == "config.yaml: no such configuration file\n"
    assert call.error("select", "mine", "--configfile", "my.yaml") == "my.yaml: no such configuration file\n"


def test_a_misspelt_key_is_told_with_its_file(folder: Path, call: Called) -> None:
    (folder / "more.yaml").write_text("experiments: {mine: {tilte: x}}")
    told = call.error("select", "mine", "--configfile", "config.yaml", "--configfile", "more.yaml")
    assert told == "config.yaml + more.yaml: experiments.mine.tilte: unknown key (did you mean 'title'?)\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "--set {: not JSON"), ("run: []", "--set run: []: not JSON"), ("[1]", "expected a JSON object")],
)
def test_set_takes_a_json_object(folder: Path, call: Called, text: str, told: str) -> None:
    assert told in call.error("select", "mine", "--set", text)


def test_set_lies_over_the_files(folder: Path, call: Called) -> None:
    told = call.error("select", "mine", "--set", '{"experiments": {"mine": {"seed": -1}}}')
    assert "experiments.mine.seed" in told


@pytest.mark.parametrize("command", taking("expect"))
def test_another_configuration_than_planned_is_refused(folder: Path, call: Called, command: str) -> None:
    told = call.error(*asking_for("mine", command), "--expect", "0123456789abcdef")
    assert re.fullmatch(
        r"mine \w+: the configuration changed since the workflow was planned; run snakemake again\n", told
    )


def test_what_older_code_planned_is_refused(folder: Path, call: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = signature(parse(SETTINGS), "mine", "distill")
    monkeypatch.setitem(STAGE_VERSION, "teacher", STAGE_VERSION["teacher"] + 1)
    told = call.error("distill", "mine", "--expect", planned)
    assert told.startswith("mine distill: ")
    assert told.endswith("since the workflow was planned; run snakemake again\n")


def test_every_stage_of_the_workflow_can_be_held_to_its_plan() -> None:
    of_the_data = {"dataset", "statistics", "judge"}
    stages = {*STAGES, "merge", "select", "evaluate", "reference"} - of_the_data - {"scores", "export"} | {"slim"}
    assert stages <= set(taking("expect"))


def test_the_planned_configuration_is_accepted(folder: Path, call: Called) -> None:
    planned = signature(parse(SETTINGS), "mine", "search")
    assert "search.csv" in call.error("select", "mine", "--expect", planned)  # the next fault
    seed = '{"experiments": {"mine": {"seed": 5}}}'
    assert "configuration changed" in call.error("select", "mine", "--expect", planned, "--set", seed)


@pytest.mark.parametrize(
    "shard", ["", "0", "1-of-1", "-1-of-2", "0-of-0", "0-of-", "a-of-b", "0/1", "0-of-1-of-2", "0-of-1\n"]
)
def test_a_malformed_shard_is_refused(folder: Path, call: Called, shard: str) -> None:
    assert "expected I-of-N with I from 0 to N-1" in call.error("search", "mine", f"--shard={shard}")


def test_a_budget_that_nothing_meets_stops_every_stage(folder: Path, call: Called) -> None:
    hopeless = '{"experiments": {"mine": {"search": {"budget": "1000x"}}}}'
    for command in ("original", "search", "finetune"):
        assert "experiments.mine.search.budget: 1000x allows" in call.error(command, "mine", "--set", hopeless)


# --- profile -----------------------------------------------------------------------------------


def test_profile_of_the_original(call: Called) -> None:
    counted = json.loads(
        call.output(*("profile", "--family", "resnet", "--block", "dense", "--widths", "64", "--size", "256", "--json"))
    )
    assert {"params", "macs", "macs_paper", "layers"} <= counted.keys()
    assert (counted["params"], counted["macs"], counted["macs_paper"]) == (11_378_179, 49_551_507_456, 56_831_770_624)
    for total in ("params", "macs", "macs_paper"):
        assert sum(layer[total] for layer in counted["layers"]) == counted[total]
    assert counted["layers"][0] == {
        "name": "stem.1",
        "params": 9_472,
        "macs": 3 * 64 * 49 * 256 * 256,
        "macs_paper": 3 * 64 * 49 * 256 * 256,
    }


@pytest.mark.parametrize(
    ("widths", "params", "macs_paper"),
    [("32_32_48_32_48_48_16_16", "0.822", 4_993_843_200), ("16_16_32_16_32_32_16_16", "0.357", None)],
)
def test_profile_of_subnets(call: Called, widths: str, params: str, macs_paper: int | None) -> None:
    counted = json.loads(call.output("profile", "--block", "separable", "--widths", widths, "--json"))
    assert f"{counted['params'] / 1e6:.3f}" == params
    assert macs_paper in (None, counted["macs_paper"])


@pytest.mark.parametrize(("size", "pixels"), [("64", 64 * 64), ("64x128", 64 * 128), ("128x64", 64 * 128)])
def test_profile_at_other_sizes_and_widths(call: Called, size: str, pixels: int) -> None:
    """Every count but the parameters grows with the pixels."""
    small, large = (
        json.loads(call.output("profile", "--widths", "7", "--size", own, "--json")) for own in (size, "256")
    )
    assert small["params"] == large["params"]
    assert small["macs"] * 256 * 256 == large["macs"] * pixels


def test_profile_for_people(call: Called) -> None:
    lines = call.output("profile").splitlines()
    assert re.fullmatch(r"layer +parameters +MACs \(exact\) +MACs \(paper\)", lines[0])
    assert re.fullmatch(r"total +11,378,179 +49,551,507,456 +56,831,770,624", lines[-1])
    assert len(lines) == 1 + len(profile(GeneratorSpec(widths=64)).layers) + 1


def test_convert_prints_what_it_assumes_of_a_file_from_elsewhere(tmp_path: Path, call: Called) -> None:
    file, out = saved(Resnet((2,) * 8, 3, "batch"), tmp_path / "net.pth"), tmp_path / "net.safetensors"
    told = call.output("convert", file, out, "--size", "16", "--statistics", "batch")
    assert "a dense resnet with 3 blocks and batch norm" in told
    assert "  assumed        batch norm, eps 1e-5, with each picture's own" in told
    assert "  assumed        reflection padding; tanh at the end; no dropout" in told
    # A file of gancomp's own says all this.
    assert "assumed" not in call.output("convert", out, tmp_path / "again.safetensors")


def test_convert_takes_the_network_that_is_named_and_holds_it_against_a_sample(tmp_path: Path, call: Called) -> None:
    file, out, sample = tmp_path / "net.pth", tmp_path / "net.safetensors", tmp_path / "white.png"
    tensors = Resnet((2,) * 8, 3).state_dict()
    torch.save({"netG_A": tensors, "netG_B": tensors}, file)
    Image.new("RGB", (16, 16), "white").save(sample)
    assert "choose one: --key NAME" in call.error("convert", file, out)
    told = call.error("convert", file, out, "--size", "16", "--key", "netG_A", "--check", sample, sample)
    assert "is not this generator's output for" in told
    assert not out.exists()
    call.output("convert", file, out, "--key", "netG_A")
    assert out.is_file()


@pytest.mark.parametrize(
    "option", [("--check", "in.png", "out.png"), ("--size", "64"), ("--norm", "batch"), ("--statistics", "batch")]
)
def test_what_is_of_generators_is_refused_with_a_discriminator(
    tmp_path: Path, call: Called, option: tuple[str, ...]
) -> None:
    file, out = saved(patch_gan(6, 4, 3), tmp_path / "D.pth"), tmp_path / "D.safetensors"
    told = call.error("convert", file, out, "--discriminator", *option)
    assert told.startswith(f"{option[0]}: applies to generators; remove it or --discriminator")
    assert not out.exists()
    call.output("convert", file, out, "--discriminator")


def test_profile_of_a_checkpoint(tmp_path: Path, call: Called) -> None:
    spec = GeneratorSpec(widths=(2, 1, 2, 3, 1, 2, 2, 1), block="separable", size=(8, 12), blocks=3)
    path = tmp_path / "model.safetensors"
    generator = lively(spec)
    save_generator(path, generator, experiment="mine", stage="subnet", signature="abc")
    counted = json.loads(call.output("profile", path, "--json"))
    assert counted["spec"] == spec.model_dump(mode="json")
    assert counted["params"] == sum(parameter.numel() for parameter in generator.parameters())
    assert counted["macs_paper"] == profile(spec).macs_paper


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--widths", "64_64"], "profile: a resnet generator has 8 widths, not 2"),
        (["--widths", "wide"], "profile: widths 'wide': expected integers joined by '_'"),
        (["--widths", "0"], "profile: width stem is 0: widths must be greater than 0\n"),
        (["--size", "255"], "profile: size 255x255: both sides must be multiples of 4"),
        (["--size", "8x8x8"], "profile: size: "),
        (["--block", "mobile"], "profile: block: Input should be 'dense', 'separable'"),
        (["--family", "vgg"], "profile: family: "),
        (["--blocks", "2"], "profile: blocks: "),
        (["none.safetensors"], "none.safetensors: no such file"),
        (["config.yaml"], "config.yaml: not a readable safetensors file"),
        (["."], ".: not a readable safetensors file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_profile_of_what_cannot_be(folder: Path, call: Called, arguments: list[str], told: str) -> None:
    assert call.error("profile", *arguments).startswith(told)


WIDTHS = st.text("0123456789_ -x.e", max_size=30) | st.lists(st.integers(-1, 99), max_size=9).map(
    lambda widths: "_".join(map(str, widths))
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WIDTHS)
def test_any_widths_are_profiled_or_refused(call: Called, widths: str) -> None:
    status, out, err = call("profile", f"--widths={widths}", "--json")
    if status:
        assert err.startswith("gancomp: error: profile: ")
    else:
        assert json.loads(out)["params"] > 0


def test_a_size_is_height_by_width(folder: Path, call: Called) -> None:
    """Unlike the widths of screens."""
    spec = GeneratorSpec(widths=2, blocks=3, size=32)
    save_generator("own.safetensors", lively(spec), experiment="mine", stage="subnet", signature="abc")
    call.output("convert", "own.safetensors", "flat.safetensors", "--size", "32x64")
    assert read_header("flat.safetensors").spec.size == (32, 64)
    assert call.error("convert", "own.safetensors", "flat.safetensors", "--size", "32by64").startswith(
        "--size 32by64: expected H or HxW"
    )


def test_profile_imports_no_torch() -> None:
    ((status, text),), modules = watched(["profile", "--json"])
    assert status == 0
    assert json.loads(text)["params"] == 11_378_179
    assert "torch" not in modules


def test_the_end_of_a_slurm_job_ends_the_time_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job began before this process, so what it has left is less than its minutes."""
    monkeypatch.setattr(cli.time, "monotonic", lambda: 1000.0)
    monkeypatch.setattr(cli.time, "time", lambda: 50_000.0)
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    assert cli.end_of(10) == 1600
    monkeypatch.setenv("SLURM_JOB_END_TIME", "50540")
    assert (cli.end_of(10), cli.end_of(5), cli.end_of(None)) == (1540, 1300, None)
    monkeypatch.setenv("SLURM_JOB_END_TIME", "unknown")
    assert cli.end_of(10) == 1600
