"""Successive halving over pictures: what a search would save, and how often it would miss the exhaustive winner.

All subnets are scored on a few pictures, the best of them on more, and the last ones on all. What few pictures would
say is simulated from a search that scored every subnet on all of them and kept the scores' bootstrap replicates: a draw
moves all subnets together, as the same pictures do, and of k of n pictures it moves them √(n/k) times as far.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from gancomp import rng
from gancomp.artifacts import write_csv, write_text

Values = NDArray[np.float64]
#: The share of all pictures that a stage has scored, and of its subnets that go on; the last stage keeps one.
Plan = Sequence[tuple[float, float]]
PLANS: Sequence[Plan] = (
    ((1 / 4, 1 / 2), (1, 0)),
    ((1 / 4, 1 / 4), (1, 0)),
    ((1 / 4, 1 / 10), (1, 0)),
    ((1 / 8, 1 / 2), (1 / 4, 1 / 2), (1 / 2, 1 / 2), (1, 0)),
    ((1 / 8, 1 / 4), (1 / 2, 1 / 4), (1, 0)),
    ((1 / 8, 1 / 10), (1, 0)),
    ((1 / 16, 1 / 2), (1 / 8, 1 / 2), (1 / 4, 1 / 2), (1 / 2, 1 / 2), (1, 0)),
)
COLUMNS = ("search", "subnets", "pictures", "plan", "share", "times_fewer", "missed", "missed_high", "regret", "worst")
TRIALS = 4000


@dataclass(frozen=True)
class Outcome:
    """*share* of the exhaustive search's pictures; how often its winner was *missed*; and how much higher the score of
    what was found is, on average (*regret*) and at *worst*."""

    share: float
    missed: float
    regret: float
    worst: float


def simulate(scores: Values, replicates: Values, plan: Plan, trials: int = TRIALS) -> Outcome:
    """Halving by *plan* among subnets of *scores* (s,), lower is better, and their *replicates* (s, draws).

    Stages draw anew, and the last one, on all pictures, sees the scores themselves.
    """
    noise = replicates - replicates.mean(axis=1, keepdims=True)
    draw, best = rng.generator(0, "halving"), int(scores.argmin())
    found, scored = np.empty(trials, int), 0.0
    for trial in range(trials):
        left, before = np.arange(len(scores)), 0.0
        for part, keep in plan:
            scored += len(left) * (part - before)
            moved = noise[left, draw.integers(noise.shape[1])] / np.sqrt(part) if part < 1 else 0
            left, before = left[np.argsort(scores[left] + moved)[: max(1, round(keep * len(left)))]], part
        found[trial] = left[0]
    regret = scores[found] - scores[best]
    share = scored / trials / len(scores)
    return Outcome(share, float((found != best).mean()), float(regret.mean()), float(regret.max()))


def words(plan: Plan) -> str:
    """`1/4: 10%, all`: a tenth of the subnets goes on from a quarter of the pictures."""
    return ", ".join(f"1/{round(1 / part)}: {keep:.0%}" if part < 1 else "all" for part, keep in plan)


def rows_of(path: Path) -> list[dict[str, str]]:
    """What every plan would do to the search in *path*."""
    pictures, fids, replicates = read(path)
    rows = []
    for plan in PLANS:
        outcome = simulate(fids, replicates, plan)
        # One miss more than were seen, so that none seen does not pass for none possible.
        missed = outcome.missed + 1 / TRIALS
        high = missed + 1.96 * float(np.sqrt(missed * (1 - missed) / TRIALS)) if missed < 1 else 1.0
        rows.append(
            {
                "search": path.stem,
                "subnets": str(len(fids)),
                "pictures": str(pictures),
                "plan": words(plan),
                "share": f"{outcome.share:.3f}",
                "times_fewer": f"{1 / outcome.share:.1f}",
                "missed": f"{outcome.missed:.4f}",
                "missed_high": f"{high:.4f}",
                "regret": f"{outcome.regret:.2f}",
                "worst": f"{outcome.worst:.2f}",
            }
        )
    return rows


def run(searches: Sequence[Path], folder: Path) -> None:
    """Simulate every plan for each search, and write `halving.csv` and `.md`."""
    rows = [row for path in searches for row in rows_of(path)]
    write_csv(folder / "halving.csv", COLUMNS, rows)
    lines = [[column.replace("_", " ") for column in COLUMNS], [":--", "--:", "--:", ":--", *["--:"] * 6]]
    lines += [[row[column] for column in COLUMNS] for row in rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    write_text(folder / "halving.md", f"# Successive halving over pictures, simulated\n\n{table}\n")


def read(path: Path) -> tuple[int, Values, Values]:
    """The pictures, the FIDs (s,) and their replicates (s, draws) that `keep` wrote."""
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    replicates = [[float(row[name]) for name in row if name.startswith("draw")] for row in rows]
    return int(rows[0]["pictures"]), np.array([float(row["fid"]) for row in rows]), np.array(replicates)


def keep(scores: Path, pictures: int, path: Path) -> None:
    """Write what is simulated from, to two decimals, of a search that ranked by FID and left its *scores*."""
    with (scores / "search.csv").open(encoding="utf-8") as stream:
        fids = {row["index"]: row["fid"] for row in csv.DictReader(stream)}
    rows = []
    with (scores / "replicates.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            index = row.pop("index")
            drawn = {name: f"{float(value):.2f}" for name, value in row.items()}
            rows.append({"index": index, "pictures": pictures, "fid": f"{float(fids[index]):.4f}", **drawn})
    write_csv(path, list(rows[0]), rows)


def main(
    searches: Annotated[list[Path] | None, typer.Argument(help="what --of kept; all if unset")] = None,
    of: Annotated[Path | None, typer.Option(help="first keep this search: results/{experiment}/scores")] = None,
    pictures: Annotated[int, typer.Option(min=2, help="that each of its subnets was scored on")] = 256,
    output: Annotated[Path, typer.Option(help="where the table goes")] = Path("docs/results/speed"),
) -> None:
    """Simulate successive halving over pictures."""
    if of:
        keep(of, pictures, output / "scores" / f"{of.parent.name}.csv")
    run(searches or sorted((output / "scores").glob("*.csv")), output)


if __name__ == "__main__":
    typer.run(main)
