"""Scores of subnets on train-2, in shards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch

from gancomp import rng
from gancomp.config.settings import Config
from gancomp.data.calibration import calibration_batches
from gancomp.data.datasets import Pictures
from gancomp.data.manifest import load_manifest
from gancomp.data.settings import DatasetBase
from gancomp.elastic.space import Subnet
from gancomp.errors import GancompError
from gancomp.metrics.bootstrap import Values, draws, interval
from gancomp.metrics.given import given_weights
from gancomp.metrics.inception import Inception
from gancomp.metrics.looks import clean_look, given_comparisons, given_looks
from gancomp.metrics.lpips import Lpips
from gancomp.metrics.scoring import LEAST_PICTURES, Compare, Look, Scorer
from gancomp.metrics.segmentation import Judge, load_judge
from gancomp.metrics.statistics import load_statistics
from gancomp.nets import load_generator
from gancomp.nets.generator import Generator
from gancomp.pipeline import paths
from gancomp.pipeline.files import file_sha256, write_csv
from gancomp.pipeline.places import model_of
from gancomp.pipeline.progress import Progress
from gancomp.pipeline.signatures import signature
from gancomp.pipeline.stages import generator_spec
from gancomp.report.reading import read
from gancomp.report.records import JudgeMetrics, Scores
from gancomp.report.searched import SHARD_COLUMNS, ShardRow, read_shard
from gancomp.search.candidates import GROUP, as_shard_text, candidates, scored_limit, shard_of, shard_path, supernet_of
from gancomp.search.evolution import Candidates, evolve
from gancomp.search.select import cost_of, ranked, write_scores
from gancomp.search.tree import TreeWalk
from gancomp.spec import format_widths
from gancomp.train.device import Device, single_device
from gancomp.train.stopping import EXIT_STATUS, Allotted


@torch.inference_mode()
def score(
    generator: Generator,
    subnets: Sequence[Subnet],
    config: Config,
    experiment: str,
    device: Device = "auto",
    stride: int = 1,
) -> Iterator[ShardRow]:
    """Score *subnets* of the once-for-all *generator*, in order, with 95% intervals from draws of the pictures.
    With a *stride* only one picture in *stride* counts, and there are no intervals.

    Scores by Inception's features always, by L1 and PSNR if train-2 holds pairs, and by the other metrics, which may
    cost more than everything else, if they rank the subnets. Raises GancompError if a network of a metric is missing,
    or the segmentation network is too inaccurate.
    """
    settings = config.experiments[experiment]
    dataset = config.datasets[settings.dataset]
    root = paths.dataset(settings.dataset)
    machine = single_device(settings.precision, device)
    pictures = Pictures(root, ("train-2",), dataset.direction)
    inception = Inception(paths.INCEPTION, precision=settings.precision, device=device)
    reference = load_statistics(root / "statistics.safetensors", "train-2", inception.key, pictures.data_hash)
    judge = usable_judge(dataset, root, machine.device) if settings.metric == "miou" else None
    looks, compared = _asked(config, experiment, pictures, device, machine.device)
    scorer = Scorer(pictures, reference, inception, judge, compared, {settings.metric}, looks)
    count, chunk = min(len(pictures), settings.search.images), settings.search.chunk
    scored = _scored_pictures(config, experiment, len(pictures), stride)
    weights = draws(count, settings.search.bootstrap if stride == 1 else 0, settings.seed)
    walk = TreeWalk(
        generator.to(machine.device).eval(),
        calibration_batches(root, dataset, settings.calibration, settings.seed, machine.device),
    )

    with Progress(f"search {experiment}", len(subnets) * len(scored), "images") as progress:
        for group in _groups(subnets):
            tallies = [scorer.tally() for _ in group]
            for start in range(0, len(scored), chunk):
                indices = scored[start : start + chunk]
                truth = scorer.truth(indices)
                x = pictures.encode(pictures.inputs(indices)).to(machine.device)
                with machine.autocast():
                    for tally, (_, out) in zip(tallies, walk(group, x), strict=True):
                        with torch.autocast(machine.device.type, enabled=False):  # a judge has a precision of its own
                            tally.add(pictures.decode(out), truth)
                        progress.advance(len(indices))
            for subnet, tally in zip(group, tallies, strict=True):
                scores, replicates = tally.scores(), tally.replicates(weights) if len(weights) else {}
                yield ShardRow(
                    index=subnet.index,
                    widths=subnet.widths,
                    macs=subnet.profile.macs,
                    macs_paper=subnet.profile.macs_paper,
                    params=subnet.profile.params,
                    **scores.model_dump(),
                    **intervals(scores, replicates),
                    replicates=tuple(replicates.get(settings.metric, ())),
                )


def _scored_pictures(config: Config, experiment: str, available: int, stride: int) -> list[int]:
    """The pictures on which subnets are scored. Raises GancompError if there are too few for the metric."""
    settings = config.experiments[experiment]
    count = min(available, settings.search.images)
    # Random, because file names may be sorted by content. A smaller stride keeps the pictures of a larger one.
    scored = sorted(rng.sample(settings.seed, "pictures of the search", available, math.ceil(count / stride)))
    if len(scored) < (least := LEAST_PICTURES.get(settings.metric, 2)):
        raise GancompError(
            f"experiments.{experiment}.search: one in {stride} of {count} pictures is {len(scored)}, and scores by "
            f"{settings.metric} need {least}; score more pictures (images), or halve less (halving.rounds, "
            "halving.factor)"
        )
    return scored


def _asked(
    config: Config, experiment: str, pictures: Pictures, device: Device, taken: torch.device
) -> tuple[dict[str, Look], dict[str, Compare]]:
    """The networks of the metric that chooses, other than FID's: for features, and for comparisons with targets."""
    settings = config.experiments[experiment]
    statistics = paths.dataset(settings.dataset) / "statistics.safetensors"
    given = [one for metric, one in given_weights(config, experiment).items() if metric == settings.metric]
    looks = given_looks(given, statistics, "train-2", pictures.data_hash, taken)
    compared = given_comparisons(given, taken)
    if settings.metric == "lpips":
        compared["lpips"] = Lpips(paths.LPIPS, taken)
    if settings.metric == "fid_clean":
        looks["fid_clean"] = clean_look(statistics, "train-2", pictures.data_hash, settings.precision, device)
    return looks, compared


def intervals(scores: Scores, replicates: Mapping[str, Values]) -> dict[str, float]:
    """The ends of the 95% interval of each score that has replicates, by their columns."""
    found = {}
    for metric, values in replicates.items():
        found[f"{metric}_low"], found[f"{metric}_high"] = interval(getattr(scores, metric), values)
    return found


def usable_judge(dataset: DatasetBase, root: Path, device: torch.device) -> Judge:
    """The data set's segmentation network. Raises GancompError if it is too inaccurate to rank subnets."""
    path = root / "judge" / "metrics.json"
    metrics = read(path, JudgeMetrics, "judge")
    if not metrics.usable:
        raise GancompError(
            f"{path}: the judge reaches a mIoU of {metrics.miou:.3f} on real pictures, less than twice the "
            f"{metrics.majority:.3f} of always answering the most frequent class, so the search cannot go by it; train "
            "it longer (judge.epochs), or choose another metric"
        )
    return load_judge(dataset, root, device)


def _groups(subnets: Sequence[Subnet]) -> Iterator[list[Subnet]]:
    iterator = iter(subnets)
    while group := list(islice(iterator, GROUP)):
        yield group


def score_shard(
    config: Config, experiment: str, index: int, count: int, device: Device = "auto", until: float | None = None
) -> None:
    """Score shard *index* of *count* and write its CSV (an empty one if there are more shards than groups).

    Each group's rows are kept as soon as they are known: a search that was killed goes on from there. Groups come in a
    random order, so that the best so far is the best of a fair sample. Before the time *until* (`time.monotonic()`) it
    stops between two groups, says the best so far, and raises SystemExit.
    """
    subnets = shard_of(candidates(config, experiment), index, count)
    rows = _score_in_groups(config, experiment, subnets, device, until)
    write_csv(shard_path(experiment, index, count), SHARD_COLUMNS, [as_shard_text(row) for row in rows], checked=True)


def _score_in_groups(
    config: Config, experiment: str, subnets: Sequence[Subnet], device: Device, until: float | None, stride: int = 1
) -> list[ShardRow]:
    """Rows of *subnets* scored on one picture in *stride*; each group's are saved when they are complete."""
    settings = config.experiments[experiment]
    generator = load_supernet(config, experiment)
    groups, folder = list(_groups(subnets)), _kept_folder(config, experiment) / f"{stride}"
    places = [folder / f"{group[0].index}-{group[-1].index}-{len(group)}.csv" for group in groups]
    kept = [_kept(path, group) for path, group in zip(places, groups, strict=True)]
    order = rng.generator(settings.seed, "order of the search").permutation(len(groups))
    left = [place for place in order if kept[place] is None]
    fresh = score(generator, [subnet for place in left for subnet in groups[place]], config, experiment, device, stride)
    known = [row for rows in kept if rows for row in rows]
    allotted = Allotted(until)
    for done, place in enumerate(left, start=1):
        rows = list(islice(fresh, len(groups[place])))
        write_csv(places[place], SHARD_COLUMNS, [as_shard_text(row) for row in rows], checked=True)
        known += rows
        allotted.stepped()
        if done < len(left) and allotted.is_over():
            print(f"search: stopped, {_best_of(known, settings.metric)}; run again to score the rest")
            raise SystemExit(EXIT_STATUS)
    return [row for path in places for row in read_shard(path)]


def _best_of(rows: Sequence[ShardRow], metric: str) -> str:
    """A summary of the scores so far."""
    best = min(rows, key=lambda row: cost_of(row, metric))
    return (
        f"{len(rows)} subnets scored; the best so far has {metric} {getattr(best, metric):.4g} at "
        f"{best.macs / 1e6:.1f}M exact MACs: {format_widths(best.widths)}"
    )


def halve_scores(config: Config, experiment: str, device: Device = "auto", until: float | None = None) -> None:
    """Score all subnets on few pictures, the best on more (`search.halving`), and write `search.csv` and
    `replicates.csv` of those that were scored on all. Killed or stopped, it goes on as `score_shard` does."""
    settings = config.experiments[experiment]
    left, rows = candidates(config, experiment), list[ShardRow]()
    for stride in settings.search.halving.strides:
        if rows:
            fewer = math.ceil(len(left) / settings.search.halving.factor)
            chosen = {row.index for row in ranked(rows, settings.metric)[:fewer]}
            left = [subnet for subnet in left if subnet.index in chosen]
        print(f"search: {len(left)} subnets on {'all pictures' if stride == 1 else f'one picture in {stride}'}")
        rows = _score_in_groups(config, experiment, left, device, until, stride)
    write_scores(config, experiment, rows)


def evolve_scores(config: Config, experiment: str, device: Device = "auto") -> None:
    """Score the subnets that evolution draws, and write `search.csv` and `replicates.csv` of those.

    Every generation's rows are kept: a search that was killed draws the same again, and scores only what is new.
    """
    settings = config.experiments[experiment]
    space = supernet_of(config, experiment).space
    limit = scored_limit(config, experiment)
    generator = load_supernet(config, experiment)
    kept = _kept_folder(config, experiment) / "evolution.csv"
    rows = {row.widths: row for row in read_shard(kept)} if kept.is_file() else {}

    def cost(subnets: Sequence[Subnet]) -> list[float]:
        fresh = [subnet for subnet in subnets if subnet.widths not in rows]
        if fresh:
            rows.update((row.widths, row) for row in score(generator, fresh, config, experiment, device))
            write_csv(kept, SHARD_COLUMNS, [as_shard_text(row) for row in rows.values()], checked=True)
        return [cost_of(rows[subnet.widths], settings.metric) for subnet in subnets]

    candidates = Candidates(space, generator_spec(config, experiment, "distill"), limit)
    draw = rng.generator(settings.seed, "evolution")
    best = math.inf
    for generation, costs in enumerate(evolve(candidates, cost, settings.search.evolution, draw)):
        best = min(costs.values())
        print(f"generation {generation}: {len(costs)} subnets scored, best {settings.metric} {abs(best):.6g}")
    # In the same precision as what was kept, so that an interrupted search leaves the same file.
    write_scores(config, experiment, read_shard(kept))


def _kept_folder(config: Config, experiment: str) -> Path:
    """Where the rows of an unfinished search are: those of these settings, of this very network, on these pictures."""
    pictures = load_manifest(paths.dataset(config.experiments[experiment].dataset)).data_hash
    network = file_sha256(model_of(config, experiment, "supernet"))
    own = f"{signature(config, experiment, 'scores')}-{network[:16]}-{pictures[:16]}"
    return paths.resume(experiment, "scores") / own


def _kept(path: Path, group: Sequence[Subnet]) -> list[ShardRow] | None:
    """The rows of *group* saved by an earlier run, or None; damaged or foreign files are scored again."""
    if not path.is_file():
        return None
    try:
        rows = read_shard(path)
    except GancompError as error:
        print(f"search: scored again: {error}")
        return None
    return rows if [(row.index, row.widths) for row in rows] == [(one.index, one.widths) for one in group] else None


def load_supernet(config: Config, experiment: str) -> Generator:
    """Load the once-for-all network. Raises GancompError if the file contains another network."""
    path = model_of(config, experiment, "supernet")
    generator, largest = load_generator(path), supernet_of(config, experiment).largest
    if generator.spec.widths != largest:
        raise GancompError(
            f"{path}: has widths {format_widths(generator.spec.widths)}, and the once-for-all network of the "
            f"configuration {format_widths(largest)}; run the stage 'supernet' again"
        )
    return generator
