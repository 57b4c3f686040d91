"""The configuration's JSON schema for editors and its page for people, both generated from gancomp.config.

`python -m gancomp.config.schema` writes both. The typed models of gancomp.config remain authoritative.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gancomp.config.settings import Config
from gancomp.pipeline.files import json_text, write_text

PATH = Path("workflow/schemas/config.schema.json")
PAGE = Path("docs/configuration.md")


def config_schema() -> dict[str, Any]:
    """Keys, types and descriptions of the configuration.

    No key is required, because an experiment with a `base`, or a file on top of another, may leave any out.
    """
    schema: dict[str, Any] = _without_required(Config.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _without_required(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_required(part) for part in node]
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if not (key == "required" and isinstance(value, list))}
        # Without a required `source`, a data set may match several kinds at once.
        return {"anyOf" if key == "oneOf" else key: _without_required(value) for key, value in kept.items()}
    return node


# --- the page ----------------------------------------------------------------------------------


def config_page() -> str:
    """The configuration's keys as a page: one table per section, with links between sections."""
    schema = config_schema()
    definitions: dict[str, Any] = schema["$defs"]
    lines = [
        "# Configuration",
        "",
        "<!-- Written by `python -m gancomp.config.schema`; a test compares it with the code. -->",
        "",
        "The keys of `config.yaml` and of the files of `--configfile`. Later files override",
        "earlier ones, key by key. An unknown key raises an error before anything runs.",
        "",
        *_section("The file", schema),
    ]
    # Experiments first, then by name.
    for name in sorted(definitions, key=lambda name: (name != "Experiment", name)):
        lines += _section(name, definitions[name])
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, definition: dict[str, Any]) -> list[str]:
    lines = [f"## {title}", ""]
    if "properties" not in definition:
        return []
    about = " ".join(definition.get("description", "").split())
    lines += [about, ""] if about and title != "The file" else []
    lines += ["| Key | Value | Default | |", "| :-- | :-- | :-- | :-- |"]
    for key, value in definition["properties"].items():
        default = "" if "default" not in value else _plain(value["default"])
        cells = (f"`{key}`", _type(value), default, " ".join(value.get("description", "").split()))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def _plain(value: Any) -> str:
    if value is None or (isinstance(value, dict) and value):
        return "none" if value is None else "that section's"
    return f"`{json.dumps(value)}`"


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type(one) for one in value["anyOf"] if one.get("type") != "null"))
    if "enum" in value or "const" in value:
        return ", ".join(f"`{one}`" for one in value.get("enum", [value.get("const")]))
    kind = value.get("type")
    if isinstance(kind, list):
        return " or ".join(_type(value | {"type": one}) for one in kind)
    if kind == "array":
        return f"list of {_type(value['items'])}" if isinstance(value.get("items"), dict) else "list"
    if kind == "object":
        held = value.get("additionalProperties")
        return f"names, each {_type(held)}" if isinstance(held, dict) else "mapping"
    limits = {"minimum": "≥ ", "exclusiveMinimum": "> ", "maximum": "≤ ", "exclusiveMaximum": "< "}
    told = ", ".join(f"{sign}{value[limit]}" for limit, sign in limits.items() if limit in value)
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    return words.get(str(kind), "anything") + (f" {told}" if told else "")


if __name__ == "__main__":
    write_text(PATH, json_text(config_schema()))
    write_text(PAGE, config_page())
