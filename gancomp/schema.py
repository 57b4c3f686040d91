"""The JSON schema of `config.yaml`, for editors (`python -m gancomp.schema` writes it); gancomp.config is the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gancomp.artifacts import write_json
from gancomp.config import Config

PATH = Path("workflow/schemas/config.schema.json")


def config_schema() -> dict[str, Any]:
    """Keys, types and descriptions of the configuration.

    Nothing is required: an experiment with a `base`, or a file that lies over another, rightly leaves keys out.
    """
    schema: dict[str, Any] = _without_required(Config.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _without_required(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_required(part) for part in node]
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if not (key == "required" and isinstance(value, list))}
        # Without a required `source`, a data set may match several kinds at once: any will do.
        return {"anyOf" if key == "oneOf" else key: _without_required(value) for key, value in kept.items()}
    return node


if __name__ == "__main__":
    write_json(PATH, config_schema())
