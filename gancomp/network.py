"""The description of a custom generator: its builder, its widths, and its cost at any of them.

It is read from the network once (`gancomp.elastic.reading`) and stored in a file, NAME.network.json, so that a workflow
can be planned without torch and without the user's code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from gancomp.config.strict import Strict
from gancomp.errors import GancompError

#: `package.module:function`, which builds the network from the arguments.
BUILDER_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
Builder = Annotated[str, Field(pattern=BUILDER_PATTERN, max_length=200)]
Count = Annotated[int, Field(ge=0, le=1 << 60)]
Position = Annotated[int, Field(ge=0, lt=4096)]
MAX_BYTES = 16 << 20


class Width(Strict):
    """A searched width: channels of the free groups at *groups* (in the graph's order), at most *full*."""

    name: Annotated[str, Field(max_length=200)]
    full: Annotated[int, Field(gt=0, le=4096)]
    groups: tuple[Position, ...]


class Term(Strict):
    """*times* x the product of the widths at these positions; a position may occur twice."""

    times: Count
    widths: tuple[Position, ...]


Polynomial = tuple[Term, ...]


class Costs(Strict):
    """Parameters, and MACs of one picture, as polynomials in the widths; conventions of `gancomp.measure.macs`."""

    params: Polynomial
    macs: Polynomial
    macs_paper: Polynomial


class Network(Strict):
    """A generator that *builder* builds from *arguments* (JSON), as read at *size* (height, width).

    Sides of inputs are multiples of *stride*, and at least *least*. The outputs of the modules *distilled* are matched
    with the teacher's; a separable student decomposes the convolutions *decomposed* into a depthwise and a pointwise
    one, and then costs *separable*. The widths *vanishing* may be 0.
    """

    builder: Builder
    arguments: Annotated[str, Field(max_length=100_000)] = "{}"
    size: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
    in_channels: Annotated[int, Field(gt=0, le=256)]
    out_channels: Annotated[int, Field(gt=0, le=64)]
    norm: Literal["instance", "affine", "batch", "none"]
    stride: Annotated[int, Field(gt=0)]
    least: Annotated[int, Field(gt=0)]
    widths: Annotated[tuple[Width, ...], Field(min_length=1)]
    distilled: Annotated[tuple[str, ...], Field(min_length=1)]
    decomposed: tuple[str, ...] = ()
    dense: Costs
    separable: Costs | None = None
    vanishing: tuple[Position, ...] = ()

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit *vanishing* if it is empty: older descriptions keep their hash."""
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if name != "vanishing" or value}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(width.name for width in self.widths)

    @property
    def full(self) -> tuple[int, ...]:
        """The full network's widths."""
        return tuple(width.full for width in self.widths)

    @cached_property
    def key(self) -> str:
        """A hash of the description, for signatures."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.key)

    def costs(self, block: str) -> Costs:
        """The costs of the network as it is, or with its convolutions decomposed."""
        return self.separable if block == "separable" and self.separable else self.dense

    def keywords(self) -> dict[str, Any]:
        """The arguments of the builder."""
        return dict(json.loads(self.arguments))


def value_of(polynomial: Polynomial, widths: Sequence[int]) -> int:
    """The value of *polynomial* at *widths*."""
    return sum(term.times * prod(widths[at] for at in term.widths) for term in polynomial)


def polynomial_of(terms: Mapping[tuple[int, ...], int]) -> Polynomial:
    """The polynomial that sums products of widths (sorted positions), each with its coefficient."""
    return tuple(Term(times=times, widths=widths) for widths, times in sorted(terms.items()) if times)


def read_description(path: Path | str) -> Network:
    """Read the description in *path*. Raises GancompError with the file's name if it is missing or invalid."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise GancompError(f"{path}: has more than {MAX_BYTES:,} bytes, too many for a description of a network")
        network = Network.model_validate_json(path.read_text(encoding="utf-8"))
        if not isinstance(json.loads(network.arguments), dict):
            raise GancompError(f"{path}: arguments: must be a JSON object")
        beyond = [at for costs in (network.dense, network.separable) if costs for at in _positions(costs)]
        if any(at >= len(network.widths) for at in beyond):
            raise GancompError(f"{path}: its costs refer to widths that it does not have")
    except FileNotFoundError:
        raise GancompError(f"{path}: no such file; `gancomp groups BUILDER --save {path}` writes one") from None
    except OSError as error:
        raise GancompError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValidationError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        told = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(error)
        raise GancompError(f"{path}: does not describe a network ({told})") from None
    return network


def _positions(costs: Costs) -> list[int]:
    return [at for terms in (costs.params, costs.macs, costs.macs_paper) for term in terms for at in term.widths]
