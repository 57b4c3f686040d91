"""The numbers that the paper prints, from `numbers.yaml`. Imports no torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from gancomp.config.loading import read_yaml
from gancomp.config.strict import Strict


class Row(Strict):
    """One row of a table: group and label, the place of this run's counterpart (`study.resolve`), and its cells as
    printed; cells that are empty in the paper are missing."""

    group: str
    label: str
    run: str | None = None
    cells: dict[str, str] = Field(default_factory=dict)


class PaperTable(Strict):
    """One of the paper's tables; `columns` has the heads by key."""

    title: str
    columns: dict[str, str]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _cells_lie_in_their_row(cls, data: Any) -> Any:
        """In the file, a row's cells are keys beside its label."""
        rows = []
        for row in data["rows"]:
            about = {key: row[key] for key in ("group", "label", "run") if key in row}
            rows.append(about | {"cells": {key: value for key, value in row.items() if key not in about}})
        return {**data, "rows": rows}

    @model_validator(mode="after")
    def _cells_have_columns(self) -> PaperTable:
        for row in self.rows:
            if unknown := row.cells.keys() - self.columns.keys():
                raise ValueError(f"{row.group}, {row.label}: no column {', '.join(sorted(unknown))}")
        return self


@cache
def load_numbers() -> dict[str, PaperTable]:
    """The paper's tables, `table1` to `table8`."""
    data = read_yaml(Path(__file__).with_name("numbers.yaml"))
    return {name: PaperTable.model_validate(table) for name, table in data.items()}


def number(printed: str) -> float:
    """The value of a cell: `56.8G` → 56.8e9, `0.70M` → 7e5, `72.4%` → 72.4. Raises ValueError for other text."""
    scale = {"G": 1e9, "M": 1e6, "%": 1.0}
    return float(printed[:-1]) * scale[printed[-1]] if printed[-1:] in scale else float(printed)
