"""Configuration files: they merge as Snakemake merges them, and what is wrong with one is told by its name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import snakemake.utils
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gancomp.config.loading import load, merge, parse, read_yaml
from gancomp.config.settings import Config
from gancomp.config.study import replicas, resolve
from gancomp.errors import GancompError
from gancomp.pipeline.places import owner
from gancomp.pipeline.stages import STAGES
from tests.config.test_settings import PLAIN


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_later_files_lie_over_earlier_ones_and_overrides_over_all(tmp_path: Path) -> None:
    files = [
        written(tmp_path, "a.yaml", yaml.safe_dump(PLAIN)),
        written(tmp_path, "b.yaml", "experiments: {mine: {seed: 1, title: second}}"),
        written(tmp_path, "empty.yaml", "# nothing\n"),
    ]
    experiment = load(files, {"experiments": {"mine": {"seed": 2}}}).experiments["mine"]
    assert (experiment.seed, experiment.title) == (2, "second")
    with pytest.raises(GancompError, match=r"a\.yaml \+ .*b\.yaml \+ .*empty\.yaml: experiments\.mine\.sed: unknown"):
        load(files, {"experiments": {"mine": {"sed": 2}}})


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir [exploded]",
        "run: !!python/name:os.system",
        "run: !!python/object/new:os.system [id]",
        "run: !mine x",
        "run: [",
        "a: b: c",
        "\tx: 1",
        "[" * 2_000,
    ],
    ids=lambda text: text[:20].strip(),
)
def test_tags_and_broken_yaml_are_refused_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GancompError, match=r"mine\.yaml: not valid YAML"):
        read_yaml(written(tmp_path, "mine.yaml", text))
    assert not Path("exploded").exists()


@pytest.mark.parametrize("text", ["[1]", "5", "text"])
def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(GancompError, match=r"mine\.yaml: expected a mapping at the top, not a (list|int|str)"):
        read_yaml(written(tmp_path, "mine.yaml", text))


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"mine\.yaml: no such configuration file"):
        read_yaml(tmp_path / "mine.yaml")
    with pytest.raises(GancompError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)
    (tmp_path / "mine.yaml").write_bytes(b"run: \xff")
    with pytest.raises(GancompError, match=r"mine\.yaml: not valid YAML"):
        read_yaml(tmp_path / "mine.yaml")


#: Each of nine levels names the one below it nine times.
MANY = "a: &a [x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text", [f"{MANY}run: *i\n", "experiments: &e\n  mine: *e\n", "run: &r [*r]\n"], ids=["many", "circle", "list"]
)
def test_aliases_that_stand_for_millions_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        GancompError, match=r"mine\.yaml: its aliases .* more than 100,000 values; write them out"
    ) as told:
        read_yaml(written(tmp_path, "mine.yaml", text))
    assert len(str(told.value)) < 1000


def test_ordinary_aliases_are_fine(tmp_path: Path) -> None:
    text = "experiments: {one: &one {seed: 1}, two: *one}\n"
    assert read_yaml(written(tmp_path, "mine.yaml", text))["experiments"]["two"] == {"seed": 1}


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.text("{}[]:,-&*!|>#%@`'\"\\ \n\tab01~?<", max_size=60).map(str.encode)))
def test_any_file_is_a_mapping_or_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(read_yaml(path), dict)
    except GancompError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017 (some are fine)


# --- variants and seeds ------------------------------------------------------------------------


def expanded(**experiment: Any) -> Config:
    return parse(merge(PLAIN, {"experiments": {"mine": experiment}}))


def test_a_variant_is_the_experiment_with_other_keys() -> None:
    config = expanded(variants={"wide": {"original": {"widths": 9}}, "fresh": {"distill": {"prune": False}}})
    assert list(config.experiments) == ["mine", "mine.wide", "mine.fresh"]
    assert config.experiments["mine.wide"].original.widths == (9,)
    assert config.experiments["mine.wide"].teacher == config.experiments["mine"].teacher
    assert owner(config, "mine.fresh", "teacher") == "mine"
    assert owner(config, "mine.fresh", "distill") == "mine.fresh"


def test_seeds_are_replicas_that_share_with_their_own_kind() -> None:
    config = expanded(seeds=[4, 5], variants={"fresh": {"distill": {"prune": False}}, "one": {"seeds": [4]}})
    assert list(config.experiments) == ["mine", "mine.seed5", "mine.fresh", "mine.fresh.seed5", "mine.one"]
    assert [config.experiments[name].seed for name in config.experiments] == [4, 5, 4, 5, 4]
    assert replicas(config, "mine.fresh") == ["mine.fresh", "mine.fresh.seed5"]
    assert owner(config, "mine.fresh.seed5", "teacher") == "mine.seed5"
    assert owner(config, "mine.fresh.seed5", "statistics") == "mine"
    assert owner(config, "mine.seed5", "teacher") == "mine.seed5"


def test_a_seed_of_its_own_is_in_place_of_inherited_seeds() -> None:
    config = expanded(seeds=[4, 5], variants={"alone": {"seed": 7}, "other": {"seeds": [6, 8]}})
    assert list(config.experiments) == ["mine", "mine.seed5", "mine.alone", "mine.other", "mine.other.seed8"]
    assert [config.experiments[name].seed for name in config.experiments] == [4, 5, 7, 6, 8]
    data = merge(PLAIN, {"experiments": {"mine": {"seeds": [0, 1]}, "own": {"base": "mine", "seed": 7}}})
    assert replicas(parse(data), "own") == ["own"]
    assert parse(data).experiments["own"].seed == 7


def test_variants_are_inherited_and_changed_by_those_who_build_on_them() -> None:
    data = merge(PLAIN, {"experiments": {"mine": {"variants": {"wide": {"original": {"widths": 9}}}}}})
    own = {"base": "mine", "seeds": [0, 1], "variants": {"wide": {"original": {"widths": 10}}}}
    config = parse(merge(data, {"experiments": {"own": own}}))
    assert config.experiments["own.wide"].original.widths == (10,)
    assert config.experiments["own.wide.seed1"].base == "own.seed1"


def test_a_faulty_variant_is_told_by_its_name() -> None:
    with pytest.raises(GancompError, match=r"experiments\.mine\.wide\.original\.width: unknown key.*widths"):
        expanded(variants={"wide": {"original": {"width": 9}}})
    with pytest.raises(GancompError, match=r"experiments\.mine\.variants\.wide"):
        expanded(variants={"wide": 3})
    with pytest.raises(GancompError, match=r"variants\.b: there is an experiment mine\.b already"):
        parse(merge(PLAIN, {"experiments": {"mine": {"variants": {"b": {}}}, "mine.b": {"base": "mine"}}}))


def test_references_name_a_role_a_variant_and_a_stage() -> None:
    data = merge(PLAIN, {"experiments": {"mine": {"variants": {"alone": {"supernet": None}}}}})
    config = parse(merge(data, {"study": {"name": "small", "experiments": {"edges2shoes": "mine"}}}))
    assert resolve(config, "edges2shoes:finetune") == ("mine", "finetune")
    assert resolve(config, "edges2shoes.alone:distill") == ("mine.alone", "distill")
    assert resolve(config, "edges2shoes.alone:finetune") is None
    assert resolve(config, "edges2shoes.other:distill") is None
    assert resolve(config, "maps:finetune") is None
    with pytest.raises(GancompError, match="expected role:stage"):
        resolve(config, "edges2shoes")
    with pytest.raises(GancompError, match="study: the configuration declares none"):
        resolve(parse(PLAIN), "maps:finetune")
    with pytest.raises(GancompError, match=r"study\.experiments\.maps: no experiment 'mien'.*mine"):
        parse(merge(PLAIN, {"study": {"name": "small", "experiments": {"maps": "mien"}}}))


KEYS = st.sampled_from("abcd")
LEAVES = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)


def trees(smallest: int = 0) -> st.SearchStrategy[Any]:
    """Plain values and mappings of at least *smallest* keys, nested."""
    return st.recursive(
        LEAVES, lambda inner: st.dictionaries(KEYS, inner, min_size=smallest, max_size=3), max_leaves=12
    )


TREES = trees()


@settings(deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=4), st.dictionaries(KEYS, trees(smallest=1), max_size=4))
def test_files_merge_as_snakemake_merges_them(base: dict[str, Any], override: dict[str, Any]) -> None:
    """But for an empty mapping over a plain value: it replaces the value here, and does nothing there."""
    before = copy.deepcopy((base, override))
    theirs = copy.deepcopy(base)
    snakemake.utils.update_config(theirs, copy.deepcopy(override))
    assert merge(base, override) == theirs
    assert (base, override) == before


def test_a_misspelt_key_of_a_section_of_the_whole_configuration_is_named() -> None:
    with pytest.raises(GancompError, match=r"mine\.yaml: samples\.evry: unknown key.*every"):
        parse({"samples": {"evry": 1}}, "mine.yaml")


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from([*Config.model_fields, "other"]), TREES, max_size=3), st.data())
def test_anything_is_a_configuration_or_a_clear_error(tree: dict[str, Any], data: st.DataObject) -> None:
    experiment = data.draw(st.dictionaries(st.sampled_from([*PLAIN["experiments"]["mine"], "base", "seed"]), TREES))
    for odd in (tree, merge(PLAIN, {"experiments": {"mine": experiment}}), merge(PLAIN, {"experiments": tree})):
        try:
            config = parse(odd, "mine.yaml")
        except GancompError as error:
            assert str(error).startswith("mine.yaml: ")  # noqa: PT017 (some are fine)
        else:
            assert all(owner(config, name, stage) for name in config.experiments for stage in STAGES)
