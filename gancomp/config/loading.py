"""From YAML files to the checked configuration: merging, `base:`, errors with file and key. Imports no torch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from gancomp import builders
from gancomp.config.experiment import Experiment
from gancomp.config.settings import Config
from gancomp.config.strict import Strict
from gancomp.config.training import ImportableTraining
from gancomp.data.settings import Dataset, DatasetBase
from gancomp.errors import GancompError, did_you_mean

#: More values than any configuration has.
MOST_VALUES = 100_000


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Deep merge, as Snakemake merges its --configfile arguments: mappings are merged, other values replaced."""
    merged = copy.deepcopy(dict(base))
    for key, value in override.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """One YAML mapping, read without constructing anything but plain data."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GancompError(f"{path}: no such configuration file") from None
    except OSError as error:
        raise GancompError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise GancompError(f"{path}: not valid YAML: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise GancompError(f"{path}: expected a mapping at the top, not a {type(data).__name__}")
    if _expands_beyond(data, MOST_VALUES):
        raise GancompError(f"{path}: its aliases (*name) stand for more than {MOST_VALUES:,} values; write them out")
    return data


def _expands_beyond(data: Any, limit: int) -> bool:
    """Whether *data* has more than *limit* values: with aliases a short file can expand to any number, or to itself."""
    left, count = [data], 0
    while left:
        value = left.pop()
        inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        left += inner
        count += len(inner)
        if count > limit:
            return True
    return False


def parse(data: Mapping[str, Any], source: str = "configuration") -> Config:
    """Resolve every `base:` and check every value; raises GancompError with the key.

    Allows the functions that `generator.builder` names to be imported (`gancomp.builders`).
    """
    try:
        config = Config.model_validate(_resolve_bases(data, source))
    except ValidationError as error:
        raise GancompError(_explain(error, source)) from None
    for experiment in config.experiments.values():
        if experiment.generator.builder:
            builders.allow(experiment.generator.builder)
    return config


def merged(paths: Sequence[Path | str], overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Merge configuration files in order, later ones over earlier ones, then *overrides*; without checks."""
    data: dict[str, Any] = {}
    for path in paths:
        data = merge(data, read_yaml(Path(path)))
    return merge(data, overrides or {})


def load(paths: Sequence[Path | str], overrides: Mapping[str, Any] | None = None) -> Config:
    """Read configuration files in order, later ones over earlier ones, then *overrides*."""
    return parse(merged(paths, overrides), " + ".join(str(path) for path in paths))


def _resolve_bases(data: Mapping[str, Any], source: str) -> dict[str, Any]:
    resolved = copy.deepcopy(dict(data))
    experiments = resolved.get("experiments")
    if not isinstance(experiments, dict):
        return resolved

    def expand(name: str, chain: tuple[str, ...]) -> Any:
        own = experiments[name]
        if not isinstance(own, dict) or own.get("base") is None:
            return own
        base = own["base"]
        if not isinstance(base, str) or base not in experiments:
            raise GancompError(
                f"{source}: experiments.{name}.base: no experiment {base!r}{did_you_mean(str(base), experiments)}"
            )
        if base in (*chain, name):
            raise GancompError(f"{source}: experiments.{name}.base: {' → '.join((*chain, name, base))} is circular")
        parent = expand(base, (*chain, name))
        return _over(parent, own) if isinstance(parent, dict) else own

    expanded = _with_variants({name: expand(name, ()) for name in experiments}, source)
    resolved["experiments"] = _with_replicas(expanded, source)
    return resolved


def _with_variants(experiments: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The experiments, each followed by its variants: NAME.VARIANT, the same except for the variant's keys."""
    every: dict[str, Any] = {}
    for name, declared in experiments.items():
        every[name] = declared
        variants = declared.get("variants") if isinstance(declared, dict) else None
        for variant, overrides in variants.items() if isinstance(variants, dict) else ():
            if not isinstance(overrides, dict):
                continue  # the typed model raises the error
            if f"{name}.{variant}" in experiments:
                raise GancompError(
                    f"{source}: experiments.{name}.variants.{variant}: there is an experiment {name}.{variant} already"
                )
            whole = {key: value for key, value in declared.items() if key != "variants"}
            every[f"{name}.{variant}"] = _over(whole, overrides) | {"base": name}
    return every


def _over(parent: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment's *own* keys over its *parent*'s: its own seed, or seeds, are in place of both of the parent's."""
    seeded = {"seed", "seeds"} if {"seed", "seeds"} & own.keys() else set[str]()
    return merge({key: value for key, value in parent.items() if key not in seeded}, own)


def _with_replicas(experiments: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The experiments, each followed by its replicas with the other seeds: NAME.seed1, …

    A replica shares stages with experiments of the same seed: its base is its base's replica.
    """
    every: dict[str, Any] = {}
    for name, declared in experiments.items():
        seeds = _seeds(declared)
        if seeds and declared.get("seed", seeds[0]) != seeds[0]:
            raise GancompError(
                f"{source}: experiments.{name}.seed: {declared['seed']} is not the first of seeds, {seeds[0]}; change "
                "either, or set seeds: [] for one run"
            )
        every[name] = declared | {"seed": seeds[0]} if seeds else declared
        for seed in seeds[1:]:
            base = declared.get("base")
            shared = f"{base}.seed{seed}" if seed in _seeds(experiments.get(base))[1:] else name
            own = {key: value for key, value in declared.items() if key not in ("variants", "seeds")}
            every[f"{name}.seed{seed}"] = own | {"seed": seed, "base": shared}
    return every


def _seeds(declared: Any) -> list[Any]:
    seeds = declared.get("seeds") if isinstance(declared, dict) else None
    return list(seeds) if isinstance(seeds, (list, tuple)) else []


def _explain(error: ValidationError, source: str) -> str:
    """One line per error: file, key, the problem, and the nearest known key for a misspelt one."""
    lines = []
    for fault in error.errors():
        path = [str(part) for part in fault["loc"]]
        if path[:1] == ["experiments"] and path[2:3] == ["teacher"]:
            del path[3:4]  # pydantic's tag for the kind of teacher, which is no key
        # The third part of a data set's path is its source, pydantic's tag, which is no key.
        key = ".".join(path[:2] + path[3:] if path[:1] == ["datasets"] else path)
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = f"unknown key{did_you_mean(path[-1], _keys_beside(path))}"
        elif fault["type"] not in ("missing", "value_error"):
            message += f", not {fault['input']!r}"
        lines.append(f"{source}: {key + ': ' if key else ''}{message}")
    return "\n".join(lines)


def _keys_beside(path: Sequence[str]) -> list[str]:
    """The keys that the model at *path* knows, for suggestions."""
    if len(path) == 1:
        return list(Config.model_fields)
    if path[0] == "datasets":
        sources: dict[str, type[DatasetBase]] = {
            get_args(model.model_fields["source"].annotation)[0]: model for model in get_args(get_args(Dataset)[0])
        }
        return list(sources[path[2]].model_fields)
    if path[0] != "experiments":
        return _keys_of(Config, path[0])
    if len(path) == 3:
        return list(Experiment.model_fields)
    if path[2] == "teacher":
        return list(ImportableTraining.model_fields)
    return _keys_of(Experiment, path[2])


def _keys_of(model: type[Strict], section: str) -> list[str]:
    """The keys of *section* of *model*, which may be optional."""
    declared = model.model_fields[section].annotation
    kinds = (declared, *get_args(declared))
    return next(list(kind.model_fields) for kind in kinds if isinstance(kind, type) and issubclass(kind, Strict))
