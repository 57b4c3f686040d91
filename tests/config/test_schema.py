"""The schema that editors read is the one that gancomp.config has."""

from __future__ import annotations

from pathlib import Path

from gancomp.config.schema import PAGE, PATH, config_page, config_schema
from gancomp.pipeline.files import read_json

ROOT = Path(__file__).parents[2]


def test_the_schema_is_in_step() -> None:
    assert read_json(ROOT / PATH) == config_schema(), "run `python -m gancomp.config.schema` and commit what it writes"


def test_the_page_is_in_step() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert page == config_page(), "run `python -m gancomp.config.schema` and commit what it writes"
    assert '| `budget` | text | `"10x"` |' in page


def test_a_part_of_an_experiment_is_no_fault_but_a_misspelt_key_is() -> None:
    definitions = config_schema()["$defs"]
    assert not any("required" in definition for definition in definitions.values())
    assert all(definition["additionalProperties"] is False for definition in definitions.values())
