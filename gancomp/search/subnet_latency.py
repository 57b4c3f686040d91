"""Predict the latency of every subnet from timed ones, on a runtime of this machine or on another device.

A subnet's latency is modelled as a sum: for each width, a term per choice (runtimes process blocks of channels, so
latency is not linear in the width), and for each two widths of the same layer, a term proportional to their product,
like that layer's multiplications. These pairs are read from the MACs, so the model applies to any family and to custom
networks. The terms are fitted on some timed subnets; its errors are those on others.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
from numpy.typing import NDArray
from pydantic import Field

from gancomp import rng
from gancomp.config.searching import Latency
from gancomp.config.settings import Config
from gancomp.elastic.space import Widths, draw_widths, in_space
from gancomp.errors import GancompError
from gancomp.measure.macs import totals_of
from gancomp.pipeline import paths
from gancomp.pipeline.files import read_csv, write_json
from gancomp.pipeline.progress import Progress
from gancomp.pipeline.provenance import provenance
from gancomp.pipeline.signatures import latency_signature
from gancomp.pipeline.stages import generator_spec
from gancomp.report.reading import read
from gancomp.report.records import Count, Positive, Record
from gancomp.search.candidates import supernet_of
from gancomp.spec import GeneratorSpec, format_widths, parse_widths

#: Visits of each subnet, in another order each time, and its runs in one, each after a run of the reference.
ROUNDS, RUNS = 3, 8
#: Timed subnets for the model's errors, and the least and most for its fit.
CHECKED, LEAST_FITTED, MOST_FITTED = 32, 32, 128
#: Candidate strengths of the ridge penalty; the one with the least leave-one-out error is used.
PENALTIES = tuple(10.0**power for power in np.arange(-6, 2, 0.5))


class Term(Record):
    """`ms` if the widths at `places` equal `widths`; without `widths`, `ms` times the product of those at `places`."""

    places: tuple[Count, ...]
    widths: tuple[Positive, ...] | None = None
    ms: float

    def of(self, widths: Widths) -> float:
        own = tuple(widths[place] for place in self.places)
        if self.widths is not None:
            return self.ms * (own == self.widths)
        return self.ms * float(np.prod(own))


class TimedSubnet(Record):
    """The measured and the predicted latency of a subnet."""

    widths: Widths
    measured_ms: Annotated[float, Field(gt=0)]
    predicted_ms: float


class SubnetLatency(Record):
    """`latency/subnets.json`: one picture, fp32 in and out.

    The errors are those on `checked`, which were not fitted; in a space of a few subnets all are both.
    """

    experiment: str
    #: What the times depend on (`gancomp.pipeline.signatures.latency_signature`).
    signature: str
    runtime: str
    device: str
    machine: dict[str, Any]
    #: None for a table of another device, which does not contain it.
    threads: Positive | None
    least_ms: Annotated[float, Field(gt=0)]
    terms: Annotated[tuple[Term, ...], Field(min_length=1)]
    fitted: tuple[TimedSubnet, ...]
    checked: Annotated[tuple[TimedSubnet, ...], Field(min_length=1)]
    mean_error: Annotated[float, Field(ge=0)]
    bias: float
    #: None for fewer than two subnets.
    kendall: float | None

    def of(self, widths: Widths) -> float:
        """Milliseconds of the subnet of *widths*."""
        return max(sum(term.of(widths) for term in self.terms), self.least_ms)


def latency_path(experiment: str) -> Path:
    return paths.stage(experiment, "latency") / "subnets.json"


def read_latency(config: Config, experiment: str) -> SubnetLatency:
    """The latency model of *experiment*. Raises GancompError if it was not measured, or for other subnets or another
    runtime than the configuration has now."""
    path = latency_path(experiment)
    found = read(path, SubnetLatency, "subnet-latency")
    if found.signature != latency_signature(config, experiment):
        raise GancompError(
            f"{path}: was measured for another space, student, runtime or device; measure again: "
            f"gancomp subnet-latency {experiment}"
        )
    return found


def measure_subnets(config: Config, experiment: str) -> None:
    """Write `latency/subnets.json`: the model of subnets timed on the runtime of `search.latency`, or in its table."""
    settings = config.experiments[experiment]
    asked = settings.search.latency or Latency()
    student, space = generator_spec(config, experiment, "distill"), supernet_of(config, experiment).space
    if asked.table:
        table, threads = read_times(Path(asked.runtime), space), None
        # In the order of fitting and checking, whatever the order of the table.
        times = {widths: table[widths] for widths in [*sampled(config, experiment), *table] if widths in table}
    else:
        threads = settings.benchmark.threads or psutil.cpu_count(logical=False) or 1
        times = _measured(config, experiment, asked, threads)
    record = modelled(
        times,
        student,
        space,
        experiment=experiment,
        signature=latency_signature(config, experiment),
        runtime=asked.runtime,
        device=asked.device,
        threads=threads,
    )
    write_json(latency_path(experiment), record.model_dump(mode="json"))
    order = "" if record.kendall is None else f", Kendall's τ {record.kendall:.2f}"
    print(
        f"{experiment}, {asked.runtime}: fitted on {len(record.fitted)} subnets; on {len(record.checked)} others the "
        f"mean prediction error is {record.mean_error:.1%} (bias {record.bias:+.1%}){order}"
    )


def write_kit(config: Config, experiment: str, folder: Path) -> None:
    """Write into *folder* the subnets to time as ONNX files, and the script that times them on another device."""
    from gancomp.deploy import time_onnx
    from gancomp.deploy.subnets import SubnetPrograms

    student, space = generator_spec(config, experiment, "distill"), supernet_of(config, experiment).space
    programs, sample = SubnetPrograms(student, space), sampled(config, experiment)
    folder.mkdir(parents=True, exist_ok=True)
    with Progress(f"kit {experiment}", len(sample), "subnets") as progress:
        for widths in sample:
            (folder / f"{format_widths(widths)}.onnx").write_bytes(programs.of(widths))
            progress.advance(1)
    shutil.copy(time_onnx.__file__, folder)


def read_times(path: Path, space: Sequence[Sequence[int]]) -> dict[Widths, float]:
    """Milliseconds by widths from a CSV with the columns `widths` and `ms`. Raises GancompError for invalid rows."""
    columns, rows = read_csv(path)
    if not {"widths", "ms"} <= set(columns):
        raise GancompError(f"{path}: has the columns {', '.join(columns)}; expected widths and ms")
    times: dict[Widths, float] = {}
    for line, row in enumerate(rows, start=2):
        try:
            widths, ms = parse_widths(row["widths"]), float(row["ms"])
            if not 0 < ms < float("inf"):
                raise ValueError(f"ms is {row['ms']}: expected a time greater than 0")
        except ValueError as error:
            raise GancompError(f"{path}: line {line}: {error}") from None
        if not in_space(widths, space):
            raise GancompError(
                f"{path}: line {line}: widths {row['widths']} are not in the once-for-all network's space; time "
                "subnets of that space (gancomp subnet-latency EXPERIMENT --kit DIR)"
            )
        times[widths] = ms
    if not times:
        raise GancompError(f"{path}: contains no times")
    return times


def sampled(config: Config, experiment: str) -> list[Widths]:
    """The subnets to time, first those for the fit, then those for its errors: the widest, the narrowest, then random
    ones."""
    supernet, student = supernet_of(config, experiment), generator_spec(config, experiment, "distill")
    space = supernet.space
    terms = len(features(student, space))
    fitted = min(max(2 * terms, LEAST_FITTED), MOST_FITTED)
    draw = rng.generator(config.experiments[experiment].seed, "timed subnets")
    found = dict.fromkeys([tuple(max(one) for one in space), tuple(min(one) for one in space)])
    while len(found) < min(fitted + CHECKED, supernet.subnets):
        found[draw_widths(space, draw)] = None
    return list(found)


def _measured(config: Config, experiment: str, asked: Latency, threads: int) -> dict[Widths, float]:
    """Milliseconds of each sampled subnet, which is timed in turns with the widest one.

    A machine's speed drifts by more than subnets differ. The ratio of two runs, one right after the other, does not:
    the median ratio of each visit, the median of those over visits, times the reference's median of all.
    """
    from gancomp.measure.latency import timed

    student = generator_spec(config, experiment, "distill")
    sample = sampled(config, experiment)
    open_subnet = _opener(student, supernet_of(config, experiment).space, asked, threads)
    reference = open_subnet(sample[0])
    visits: dict[Widths, list[float]] = {widths: [] for widths in sample}
    usual: list[float] = []
    with Progress(f"latency {experiment}", ROUNDS * len(sample), "measurements") as progress:
        for turn in range(ROUNDS):
            order = rng.generator(config.experiments[experiment].seed, "timed", turn)
            for at in order.permutation(len(sample)):
                run = open_subnet(sample[at])
                run()  # the first one allocates
                pairs = [(timed(reference, 0, 1)[0], timed(run, 0, 1)[0]) for _ in range(RUNS)]
                visits[sample[at]].append(statistics.median(own / beside for beside, own in pairs))
                usual += [beside for beside, _ in pairs]
                progress.advance(1)
    return {widths: statistics.median(usual) * statistics.median(ratios) for widths, ratios in visits.items()}


def _opener(student: GeneratorSpec, space: Sequence[Sequence[int]], asked: Latency, threads: int) -> Any:
    """A function from widths to one that runs the subnet once. Raises GancompError if the runtime is missing."""
    import torch

    from gancomp.deploy.formats import random_inputs
    from gancomp.deploy.runtimes import on_onnxruntime, on_openvino, on_pytorch
    from gancomp.deploy.subnets import SubnetPrograms
    from gancomp.nets import build_generator

    x = random_inputs(student, student.size, 1)
    if asked.runtime == "pytorch":

        def in_pytorch(widths: Widths) -> Any:
            run = on_pytorch(build_generator(student.with_widths(widths)).eval().to(asked.device), threads)
            return lambda: run(x)

        if asked.device != "cpu" and not torch.cuda.is_available():
            raise GancompError(f"search.latency.device: PyTorch has no {asked.device} here")
        return in_pytorch
    programs = SubnetPrograms(student, space)

    def on_runtime(widths: Widths) -> Any:
        content = programs.of(widths)
        if asked.runtime == "onnxruntime":
            run, _ = on_onnxruntime(content, threads)
        else:
            run, _ = on_openvino(content, threads, device=asked.device.upper())
        return lambda: run(x)

    return on_runtime


# --- the model ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Feature:
    """A term without its milliseconds."""

    places: tuple[int, ...]
    widths: tuple[int, ...] | None

    def of(self, widths: NDArray[np.int64]) -> NDArray[np.float64]:
        """The feature's values (n) for *widths* (n, K)."""
        own = widths[:, self.places]
        value = own.prod(axis=1) if self.widths is None else (own == self.widths).all(axis=1)
        return np.asarray(value, np.float64)


def features(student: GeneratorSpec, space: Sequence[Sequence[int]]) -> list[Feature]:
    """Every choice of every width except the smallest, and the products of two widths of the same layer."""
    free = [place for place, choices in enumerate(space) if len(choices) > 1]
    single = [Feature((place,), (choice,)) for place in free for choice in sorted(space[place])[1:]]
    return single + [Feature(pair, None) for pair in itertools.combinations(free, 2) if _meet(student, space, *pair)]


def _meet(student: GeneratorSpec, space: Sequence[Sequence[int]], one: int, other: int) -> bool:
    """Whether a layer's MACs contain the product of both widths: the mixed difference of the MACs is not zero."""
    corners = np.array([[min(choices) for choices in space]] * 4)
    corners[1, one] = corners[3, one] = max(space[one])
    corners[2, other] = corners[3, other] = max(space[other])
    a, b, c, d = (totals.macs for totals in totals_of(student, corners))
    return a - b - c + d != 0


def modelled(
    times: dict[Widths, float],
    student: GeneratorSpec,
    space: Sequence[Sequence[int]],
    *,
    experiment: str,
    signature: str,
    runtime: str,
    device: str,
    threads: int | None,
) -> SubnetLatency:
    """The model of *times*, in ms by widths.

    Fitted on all but the last CHECKED; if few were timed, on all but the last third; of fewer than ten, on all.
    """
    sample, wanted = list(times), features(student, space)
    held = CHECKED if len(sample) >= LEAST_FITTED + CHECKED else len(sample) // 3 if len(sample) >= 10 else 0
    fitted = sample[: len(sample) - held]
    terms = fit(wanted, np.array(fitted), np.array([times[widths] for widths in fitted]))
    least = 0.5 * min(times.values())

    def told(widths: Widths) -> TimedSubnet:
        ms = max(sum(term.of(widths) for term in terms), least)
        return TimedSubnet(widths=widths, measured_ms=times[widths], predicted_ms=ms)

    checked = [told(widths) for widths in (sample[-held:] if held else sample)]
    errors = [one.predicted_ms / one.measured_ms - 1 for one in checked]
    return SubnetLatency(
        experiment=experiment,
        signature=signature,
        runtime=runtime,
        device=device,
        machine=provenance(),
        threads=threads,
        least_ms=least,
        terms=tuple(terms),
        fitted=tuple(map(told, fitted)),
        checked=tuple(checked),
        mean_error=statistics.fmean(map(abs, errors)),
        bias=statistics.fmean(errors),
        kendall=_kendall(checked),
    )


def _kendall(checked: Sequence[TimedSubnet]) -> float | None:
    from scipy.stats import kendalltau

    found = kendalltau([one.measured_ms for one in checked], [one.predicted_ms for one in checked]).statistic
    return None if np.isnan(found) else float(found)


def fit(wanted: Sequence[Feature], widths: NDArray[np.int64], ms: NDArray[np.float64]) -> list[Term]:
    """Ridge regression of *ms* (n) on *wanted* at *widths* (n, K), with the least relative leave-one-out error."""
    values = np.stack([np.ones(len(ms)), *(one.of(widths) for one in wanted)], axis=1)
    # Standardised, so that one penalty suits all; constant features get weight 0.
    centre, spread = values.mean(axis=0), values.std(axis=0)
    centre[0], spread[0] = 0.0, 1.0
    varying = spread > 0
    scaled = np.where(varying, (values - centre) / np.where(varying, spread, 1.0), 0.0)
    relative = scaled / ms[:, None]  # so that residuals are relative to the measured latency
    penalty = np.ones(values.shape[1])
    penalty[0] = 0.0

    def solve(strength: float) -> tuple[float, NDArray[np.float64]]:
        size = np.trace(relative.T @ relative) / len(penalty)
        solver = np.linalg.pinv(relative.T @ relative + strength * size * np.diag(penalty)) @ relative.T
        weights = solver @ np.ones(len(ms))
        leverage = np.einsum("nk,kn->n", relative, solver)
        left_out = (1 - relative @ weights) / np.maximum(1 - leverage, 1e-6)
        return float((left_out**2).mean()), weights

    weights = min((solve(strength) for strength in PENALTIES), key=lambda found: found[0])[1]
    weights = np.where(varying, weights / np.where(varying, spread, 1.0), 0.0)
    constant = weights[0] - (weights[1:] * centre[1:]).sum()
    terms = [Term(places=(), widths=(), ms=float(constant))]
    return terms + [
        Term(places=one.places, widths=one.widths, ms=float(share))
        for one, share in zip(wanted, weights[1:], strict=True)
    ]
