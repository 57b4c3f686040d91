"""Successive halving over pictures: what a search saves, and how often it misses the exhaustive winner.

All subnets are scored on a few pictures, the best of them on more, and the last ones on all (`search.halving`). Either
it is *measured*, by the features of every subnet's pictures, halved in random orders of the pictures; or *simulated*
from the bootstrap replicates of an exhaustive search: a draw moves all subnets together, as the same pictures do, and
of k of n pictures it moves them √(n/k) times as far. That leaves out that FID of few pictures is biased, and not
equally for all.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from gancomp import rng
from gancomp.config.loading import load
from gancomp.config.searching import Halving
from gancomp.config.settings import Config
from gancomp.data.calibration import calibration_batches
from gancomp.data.datasets import Pictures, to_rgb
from gancomp.metrics.frechet import Statistics, frechet_distance
from gancomp.metrics.inception import Inception
from gancomp.metrics.statistics import load_statistics
from gancomp.nets import load_generator
from gancomp.pipeline import paths
from gancomp.pipeline.files import read_csv, write_csv, write_text
from gancomp.pipeline.places import folder as stage_folder
from gancomp.pipeline.progress import Progress
from gancomp.search.candidates import GROUP, candidates
from gancomp.search.tree import TreeWalk
from gancomp.train.device import make_fabric

Values = NDArray[np.float64]
PLANS = tuple(
    Halving(rounds=rounds, factor=factor) for rounds, factor in ((2, 4), (4, 2), (3, 3), (5, 2), (2, 8), (3, 4))
)
COLUMNS = (
    *("search", "how", "subnets", "pictures", "rounds", "factor"),
    *("times_fewer", "missed", "missed_high", "regret", "worst"),
)
TRIALS, MEASURED_TRIALS = 4000, 100


@dataclass(frozen=True)
class Search:
    """A search that scored every subnet: by *name*, on so many *pictures*, with its *scores* (s,), lower is better."""

    name: str
    pictures: int
    scores: Values


#: Scores of the subnets at some places on a stride's pictures, in one trial.
ScoreSome = Callable[[NDArray[np.intp], int], Values]


@dataclass(frozen=True)
class Outcome:
    """*share* of the exhaustive search's pictures; how often its winner was *missed*; and how much higher the score of
    what was found is, on average (*regret*) and at *worst*."""

    share: float
    missed: float
    regret: float
    worst: float


def halve(scores: Values, plan: Halving, trials: Sequence[ScoreSome]) -> Outcome:
    """Halving by *plan*, once for each of *trials*, among subnets that score *scores* (s,) on all pictures."""
    found, scored = [], 0.0
    for score in trials:
        left, own = np.arange(len(scores)), scores
        for place, stride in enumerate(plan.strides):
            if place:
                left = left[np.argsort(own)[: -(-len(left) // plan.factor)]]
            scored += len(left) / stride
            own = score(left, stride) if stride > 1 else scores[left]
        found.append(left[own.argmin()])
    regret = scores[found] - scores.min()
    return Outcome(
        scored / len(trials) / len(scores), float((regret > 0).mean()), float(regret.mean()), float(regret.max())
    )


# --- simulated ---------------------------------------------------------------------------------


def simulated(scores: Values, replicates: Values, trials: int = TRIALS) -> list[ScoreSome]:
    """Trials among subnets of *scores* (s,) and *replicates* (s, draws); every round draws anew."""
    noise = replicates - replicates.mean(axis=1, keepdims=True)
    draw = rng.generator(0, "halving")

    def some(left: NDArray[np.intp], stride: int) -> Values:
        moved: Values = scores[left] + noise[left, draw.integers(noise.shape[1])] * np.sqrt(stride)
        return moved

    return [some] * trials


def read(path: Path) -> tuple[Search, Values]:
    """The search whose scores `keep` wrote, and their replicates (s, draws)."""
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    replicates = [[float(row[name]) for name in row if name.startswith("draw")] for row in rows]
    scores = np.array([float(row["fid"]) for row in rows])
    return Search(path.stem, int(rows[0]["pictures"]), scores), np.array(replicates)


def keep(scores: Path, pictures: int, path: Path) -> None:
    """Write what is simulated from, to two decimals, of a search that ranked by FID and left its *scores*."""
    fids = {row["index"]: row["fid"] for row in read_csv(scores / "search.csv")[1]}
    rows = []
    for row in read_csv(scores / "replicates.csv")[1]:
        index = row.pop("index")
        drawn = {name: f"{float(value):.2f}" for name, value in row.items()}
        rows.append({"index": index, "pictures": pictures, "fid": f"{float(fids[index]):.4f}", **drawn})
    write_csv(path, list(rows[0]), rows)


# --- measured ----------------------------------------------------------------------------------


def measured(features: NDArray[np.float32], reference: Statistics, trials: int = MEASURED_TRIALS) -> list[ScoreSome]:
    """Trials among subnets of *features* (s, pictures, d), each with the pictures in another order."""

    def trial(number: int) -> ScoreSome:
        order = rng.generator(number, "order of the pictures").permutation(features.shape[1])
        return lambda left, stride: np.array(
            [frechet_distance(features[place][order[::stride]], reference) for place in left]
        )

    return [trial(number) for number in range(trials)]


def features_of(config: Config, experiment: str) -> tuple[NDArray[np.float32], Statistics]:
    """Features (s, pictures, d) of what every subnet of a trained once-for-all network makes, and the reference's."""
    settings = config.experiments[experiment]
    dataset, root = config.datasets[settings.dataset], paths.dataset(settings.dataset)
    fabric = make_fabric(settings.precision, "auto")
    pictures = Pictures(root, ("train-2",), dataset.direction)
    inception = Inception(paths.INCEPTION, precision=settings.precision)
    reference = load_statistics(root / "statistics.safetensors", "train-2", inception.key, pictures.data_hash)
    subnets = candidates(config, experiment)
    sample = sorted(rng.sample(settings.seed, "pictures of the search", len(pictures), settings.search.images))
    generator = load_generator(stage_folder(config, experiment, "supernet") / "model.safetensors")
    calibration = calibration_batches(root, dataset, settings.calibration, settings.seed, fabric.device)
    walk = TreeWalk(generator.to(fabric.device).eval(), calibration)
    found = np.empty((len(subnets), len(sample), reference.features.shape[1]), np.float32)
    with (
        Progress("halving", len(subnets) * len(sample), "images") as progress,
        torch.inference_mode(),
        fabric.autocast(),
    ):
        for first in range(0, len(subnets), GROUP):
            for start in range(0, len(sample), settings.search.chunk):
                some = slice(start, start + settings.search.chunk)
                x = pictures.encode(pictures.inputs(sample[some])).to(fabric.device)
                for place, (_, out) in enumerate(walk(subnets[first : first + GROUP], x), start=first):
                    found[place, some] = inception(to_rgb(pictures.decode(out)))
                    progress.advance(len(out))
    return found, reference


# --- the table ---------------------------------------------------------------------------------


def rows_of(search: Search, how: str, trials: Sequence[ScoreSome]) -> list[dict[str, str]]:
    """What every plan does to *search*."""
    rows = []
    for plan in PLANS:
        outcome = halve(search.scores, plan, trials)
        # One miss more than were seen, so that none seen does not pass for none possible.
        missed = min(1.0, outcome.missed + 1 / len(trials))
        high = missed + 1.96 * float(np.sqrt(missed * (1 - missed) / len(trials)))
        rows.append(
            {
                "search": search.name,
                "how": how,
                "subnets": str(len(search.scores)),
                "pictures": str(search.pictures),
                "rounds": str(plan.rounds),
                "factor": str(plan.factor),
                "times_fewer": f"{1 / outcome.share:.1f}",
                "missed": f"{outcome.missed:.4f}",
                "missed_high": f"{high:.4f}",
                "regret": f"{outcome.regret:.2f}",
                "worst": f"{outcome.worst:.2f}",
            }
        )
    return rows


def write(folder: Path, rows: Sequence[dict[str, str]]) -> None:
    """`halving.csv` and `.md`: *rows*, and those that were measured of other searches before."""
    path, searches = folder / "halving.csv", {(row["search"], row["how"]) for row in rows}
    if path.is_file():
        before = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
        rows = [*(row for row in before if (row["search"], row["how"]) not in searches), *rows]
    rows = sorted(rows, key=lambda row: (row["search"], row["how"]))
    write_csv(path, COLUMNS, rows)
    lines = [[column.replace("_", " ") for column in COLUMNS], [":--", ":--", *["--:"] * 9]]
    lines += [[row[column] for column in COLUMNS] for row in rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    write_text(folder / "halving.md", f"# Successive halving over pictures\n\n{table}\n")


def main(
    searches: Annotated[list[Path] | None, typer.Argument(help="simulate what --of kept; all if unset")] = None,
    of: Annotated[Path | None, typer.Option(help="first keep this search: results/{experiment}/scores")] = None,
    pictures: Annotated[int, typer.Option(min=2, help="that each of its subnets was scored on")] = 256,
    measure: Annotated[str, typer.Option(help="measure instead, on this experiment's once-for-all network")] = "",
    configfile: Annotated[list[Path] | None, typer.Option(help="over config.yaml")] = None,
    output: Annotated[Path, typer.Option(help="where the table goes")] = Path("docs/results/speed"),
) -> None:
    """Successive halving over pictures, simulated or measured."""
    if measure:
        config = load([Path("config.yaml"), *(configfile or [])])
        features, reference = features_of(config, measure)
        scores = np.array([frechet_distance(own, reference) for own in features])
        write(output, rows_of(Search(measure, features.shape[1], scores), "measured", measured(features, reference)))
        return
    if of:
        keep(of, pictures, output / "scores" / f"{of.parent.name}.csv")
    kept = map(read, searches or sorted((output / "scores").glob("*.csv")))
    write(output, [row for own, more in kept for row in rows_of(own, "simulated", simulated(own.scores, more))])


if __name__ == "__main__":
    typer.run(main)
