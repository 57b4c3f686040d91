"""Latency of every subnet from measurements of its segments: fast enough for spaces that cannot be walked.

A subnet's segments run one after the other, so its latency is the sum of theirs. A sample of whole subnets is measured
too, and how far the sums are off is part of the record.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import psutil
from pydantic import Field

from gancomp import rng
from gancomp.config.settings import Config
from gancomp.elastic.space import Widths, draw_widths
from gancomp.errors import GancompError
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_json
from gancomp.pipeline.progress import Progress
from gancomp.pipeline.provenance import provenance
from gancomp.pipeline.stages import generator_spec
from gancomp.report.reading import read
from gancomp.report.records import Count, Positive, Record
from gancomp.search.candidates import supernet_of
from gancomp.spec import GeneratorSpec

#: Each is visited this often, in another order each time, so that what slows the machine for a while slows none alone.
ROUNDS, WARMUP, RUNS = 5, 3, 15
WHOLE_SUBNETS = 12


class SegmentTime(Record):
    """A segment at the widths that it depends on, by their places, and its median in ms."""

    segment: str
    places: tuple[Count, ...]
    widths: tuple[Positive, ...]
    ms: Annotated[float, Field(gt=0)]


class WholeTime(Record):
    """A whole subnet: what was measured, and what its segments sum up to."""

    widths: Widths
    measured_ms: Annotated[float, Field(gt=0)]
    summed_ms: Annotated[float, Field(gt=0)]


class SegmentLatency(Record):
    """`latency/segments.json`: PyTorch eager, fp32, one picture. The errors are those of `whole`."""

    experiment: str
    machine: dict[str, Any]
    threads: Positive
    segments: Annotated[tuple[SegmentTime, ...], Field(min_length=1)]
    whole: Annotated[tuple[WholeTime, ...], Field(min_length=2)]
    mean_error: Annotated[float, Field(ge=0)]
    bias: float
    kendall: float

    def of(self, widths: Widths) -> float:
        """Milliseconds of the subnet of *widths*; GancompError if a segment was not measured at them."""
        return summed(table_of(self.segments), widths)


#: By segment: the places of the widths that matter, and ms by those widths.
Table = Mapping[str, tuple[tuple[int, ...], Mapping[tuple[int, ...], float]]]


def table_of(segments: Sequence[SegmentTime]) -> Table:
    """*segments*, to look their times up."""
    found: dict[str, tuple[tuple[int, ...], dict[tuple[int, ...], float]]] = {}
    for one in segments:
        found.setdefault(one.segment, (one.places, {}))[1][one.widths] = one.ms
    return found


def summed(table: Table, widths: Widths) -> float:
    """The sum of *table*'s segments at *widths*, in ms."""
    total = 0.0
    for segment, (places, times) in table.items():
        own = tuple(widths[place] for place in places)
        if own not in times:
            raise GancompError(
                f"latency/segments.json: {segment} was not measured at the widths {own}; delete it and measure again"
            )
        total += times[own]
    return total


def segments_path(experiment: str) -> Path:
    return paths.stage(experiment, "latency") / "segments.json"


def read_segments(experiment: str) -> SegmentLatency:
    """What was measured; GancompError if nothing was."""
    return read(segments_path(experiment), SegmentLatency, "segment-latency")


def measure_segments(config: Config, experiment: str) -> None:
    """`latency/segments.json`: each segment at each of its widths in the experiment's space, on this machine's CPU."""
    import torch
    from scipy.stats import kendalltau

    settings = config.experiments[experiment]
    space = supernet_of(config, experiment).space
    student = generator_spec(config, experiment, "distill")
    threads = settings.benchmark.threads or psutil.cpu_count(logical=False) or 1
    torch.set_num_threads(threads)
    tasks = list(_tasks(student, space))
    draw = rng.generator(settings.seed, "whole subnets")
    sample = list(dict.fromkeys([tuple(choices[0] for choices in space), tuple(choices[-1] for choices in space)]))
    while len(sample) < min(WHOLE_SUBNETS, supernet_of(config, experiment).subnets):
        sample = list(dict.fromkeys([*sample, draw_widths(space, draw)]))

    of_segments: dict[tuple[int, tuple[int, ...]], list[float]] = {task: [] for task in tasks}
    of_whole: dict[Widths, list[float]] = {widths: [] for widths in sample}
    with Progress(f"segments {experiment}", ROUNDS * (len(tasks) + len(sample)), "measurements") as progress:
        for turn in range(ROUNDS):
            order = rng.generator(settings.seed, "segments", turn)
            for at in order.permutation(len(tasks) + len(sample)):
                if at < len(tasks):
                    segment, widths = tasks[at]
                    of_segments[tasks[at]] += _segment_times(student, space, segment, widths)
                else:
                    of_whole[sample[at - len(tasks)]] += _whole_times(student, sample[at - len(tasks)])
                progress.advance(1)
    parts = _segments_of(student)
    segments = tuple(
        SegmentTime(
            segment=parts[segment].name,
            places=parts[segment].widths,
            widths=widths,
            ms=statistics.median(times),
        )
        for (segment, widths), times in of_segments.items()
    )
    table = table_of(segments)
    whole = tuple(
        WholeTime(widths=widths, measured_ms=statistics.median(times), summed_ms=summed(table, widths))
        for widths, times in of_whole.items()
    )
    errors = [one.summed_ms / one.measured_ms - 1 for one in whole]
    record = SegmentLatency(
        experiment=experiment,
        machine=provenance(),
        threads=threads,
        segments=segments,
        whole=whole,
        mean_error=statistics.fmean(map(abs, errors)),
        bias=statistics.fmean(errors),
        kendall=float(kendalltau([one.measured_ms for one in whole], [one.summed_ms for one in whole]).statistic),
    )
    write_json(segments_path(experiment), record.model_dump(mode="json"))
    print(
        f"{experiment}: {len(segments)} measurements of segments; on {len(whole)} whole subnets their sums are off by "
        f"{record.mean_error:.1%} on average ({record.bias:+.1%} systematic), Kendall's τ {record.kendall:.2f}"
    )


def _segments_of(student: GeneratorSpec) -> Sequence[Any]:
    from gancomp.nets import FAMILIES

    return FAMILIES[student.family].segments


def _tasks(student: GeneratorSpec, space: Sequence[Sequence[int]]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Every segment with every choice of the widths that it depends on."""
    for index, segment in enumerate(_segments_of(student)):
        for widths in itertools.product(*(space[place] for place in segment.widths)):
            yield index, widths


def _segment_times(
    student: GeneratorSpec, space: Sequence[Sequence[int]], index: int, widths: tuple[int, ...]
) -> list[float]:
    import torch

    from gancomp.measure.latency import timed
    from gancomp.nets import build_generator

    whole = [choices[-1] for choices in space]
    for place, width in zip(_segments_of(student)[index].widths, widths, strict=True):
        whole[place] = width
    with torch.inference_mode():
        generator = build_generator(student.with_widths(tuple(whole))).eval()
        state: Any = torch.rand(1, student.in_channels, *student.size)
        for before in range(index):
            state = generator.run_segment(before, state)
        return timed(lambda: generator.run_segment(index, state), WARMUP, RUNS)


def _whole_times(student: GeneratorSpec, widths: Widths) -> list[float]:
    import torch

    from gancomp.measure.latency import run_times
    from gancomp.nets import build_generator

    with torch.inference_mode():
        generator = build_generator(student.with_widths(widths)).eval()
        picture = torch.rand(1, student.in_channels, *student.size)
        return run_times(generator, picture, WARMUP, RUNS)
