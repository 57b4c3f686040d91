"""The human preference test of Table 8: a page that asks which of two pictures looks more real, and the count of votes.

The page does not contain which picture is whose: in each pair, the two are randomly called `p` and `q`, and the
assignment is in `key.json`, which voters do not get.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field, ValidationError, model_validator

from gancomp import rng
from gancomp.config.settings import Config
from gancomp.errors import GancompError
from gancomp.pipeline import paths
from gancomp.pipeline.files import write_json, write_text
from gancomp.pipeline.provenance import code_version
from gancomp.report.reading import read
from gancomp.report.records import Count, Positive, Record

if TYPE_CHECKING:
    from gancomp.train.device import Device

#: The compared stages: ours and the uniform narrow baseline, as in the paper.
OURS, BASELINE = "finetune", "narrow"
PICTURES = 50
#: Limit for a file of votes, which has a few kilobytes.
MOST_BYTES = 1_000_000
TEMPLATE = Path(__file__).with_name("votes.html")

Side = Literal["p", "q"]
Pixels = np.ndarray


class Key(Record):
    """`vote/key.json`: for each pair of the page `page`, the picture's name and which side is ours."""

    page: str
    experiment: str
    pictures: Annotated[tuple[str, ...], Field(min_length=1)]
    ours: tuple[Side, ...]
    data_hash: str
    code_version: str

    @model_validator(mode="after")
    def _one_coin_a_picture(self) -> Key:
        if len(self.ours) != len(self.pictures):
            raise ValueError(f"ours: {len(self.ours)} entries for {len(self.pictures)} pictures")
        return self


class Vote(Record):
    """One answer: the pair, the chosen picture, the one shown on the left, and the time in seconds."""

    pair: Count
    chosen: Side
    left: Side
    seconds: Annotated[float, Field(ge=0)]


class Ballot(Record):
    """The file that the page saves: the votes of one person."""

    page: str
    voter: Annotated[str, Field(pattern=r"[0-9a-f]{8,64}")]
    votes: tuple[Vote, ...]

    @model_validator(mode="after")
    def _one_vote_a_pair(self) -> Ballot:
        if len({vote.pair for vote in self.votes}) != len(self.votes):
            raise ValueError("votes: a pair has two votes")
        return self


class Preference(Record):
    """`vote/votes.json`: how many of the `votes` preferred ours, and Wilson's 95% interval of that share.

    `left` is the share of votes for the picture on the left; far from 0.5, people did not compare.
    """

    page: str
    experiment: str
    voters: Positive
    votes: Positive
    ours: Count
    share: float
    low: float
    high: float
    left: float
    data_hash: str
    code_version: str


def folder(experiment: str) -> Path:
    """The folder of an experiment's page, key and votes."""
    return paths.stage(experiment, "vote")


def preference(experiment: str) -> Preference | None:
    """The counted votes of *experiment*; None if no votes were counted."""
    path = folder(experiment) / "votes.json"
    return read(path, Preference, "votes") if path.is_file() else None


# --- the page ----------------------------------------------------------------------------------


def write_vote_page(config: Config, experiment: str, pictures: int = PICTURES, device: Device = "auto") -> None:
    """Write `vote/page.html` and `vote/key.json`: *pictures* pairs, evenly spaced in the validation set.

    Raises GancompError if a generator was not trained, or if votes were already counted for a page of other pictures.
    """
    import torch

    from gancomp.data.datasets import Pictures, to_rgb
    from gancomp.measure.evaluate import maker
    from gancomp.nets import load_generator
    from gancomp.pipeline.places import model_of

    settings = config.experiments[experiment]
    dataset = config.datasets[settings.dataset]
    where = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    shown = Pictures(paths.dataset(settings.dataset), ("val",), dataset.direction)
    count = min(pictures, len(shown))
    indices = [place * len(shown) // count for place in range(count)]
    given = shown.inputs(indices)

    def drawn(stage: str) -> Pixels:
        generator = load_generator(model_of(config, experiment, stage), where)
        make = maker(generator, shown, where)
        # One picture at a time, so that the page does not depend on a batch size.
        return to_rgb(np.concatenate([make(given[place : place + 1]) for place in range(count)]))

    coins: tuple[Side, ...] = tuple(
        "p" if coin else "q" for coin in rng.generator(settings.seed, f"votes {experiment}").integers(2, size=count)
    )
    page, text = page_of(to_rgb(given), drawn(OURS), drawn(BASELINE), coins)
    counted = preference(experiment)
    if counted and counted.page != page:
        path = folder(experiment) / "votes.json"
        raise GancompError(f"{path}: contains votes on other pictures; move it before you make a new page")
    key = Key(
        page=page,
        experiment=experiment,
        pictures=tuple(shown.names[index] for index in indices),
        ours=coins,
        data_hash=shown.data_hash,
        code_version=code_version(),
    )
    write_json(folder(experiment) / "key.json", key.model_dump(mode="json"))
    write_text(folder(experiment) / "page.html", text)


def page_of(inputs: Pixels, ours: Pixels, theirs: Pixels, coins: Sequence[Side]) -> tuple[str, str]:
    """The page's name (a hash of its pictures) and its HTML; all pictures uint8 (n, h, w, 3)."""
    pairs = []
    for given, own, other, coin in zip(inputs, ours, theirs, coins, strict=True):
        p, q = (own, other) if coin == "p" else (other, own)
        pairs.append({"input": _data(given), "p": _data(p), "q": _data(q)})
    name = hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16]
    data = json.dumps({"page": name, "width": int(ours.shape[2]), "pairs": pairs})
    return name, TEMPLATE.read_text(encoding="utf-8").replace("/* PAIRS */ null", data.replace("<", "\\u003c"))


def _data(picture: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


# --- the count ---------------------------------------------------------------------------------


def count_votes(experiment: str, files: Sequence[Path]) -> Preference:
    """Count the page's saved *files* and write `vote/votes.json`.

    Of several files of one person the one with the most votes counts. Raises GancompError, before anything is written,
    for a file that is not a ballot of this page.
    """
    key = read(folder(experiment) / "key.json", Key, "vote-page")
    ballots: dict[str, Ballot] = {}
    for path in files:
        ballot = read_ballot(path, key)
        known = ballots.get(ballot.voter)
        if known is None or len(ballot.votes) > len(known.votes):
            ballots[ballot.voter] = ballot
    votes = [vote for ballot in ballots.values() for vote in ballot.votes]
    if not votes:
        raise GancompError("no votes: pass the files that the page saved, votes-*.json")
    for_ours = sum(vote.chosen == key.ours[vote.pair] for vote in votes)
    low, high = wilson(for_ours, len(votes))
    counted = Preference(
        page=key.page,
        experiment=key.experiment,
        voters=sum(bool(ballot.votes) for ballot in ballots.values()),
        votes=len(votes),
        ours=for_ours,
        share=for_ours / len(votes),
        low=low,
        high=high,
        left=sum(vote.chosen == vote.left for vote in votes) / len(votes),
        data_hash=key.data_hash,
        code_version=key.code_version,
    )
    write_json(folder(experiment) / "votes.json", counted.model_dump(mode="json"))
    return counted


def read_ballot(path: Path, key: Key) -> Ballot:
    """Read one file of votes, which is untrusted. Raises GancompError with what is wrong in it."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise GancompError(f"{path}: has {path.stat().st_size:,} bytes, too many for a file of votes")
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        ballot = Ballot.model_validate(data)
    except OSError as error:
        raise GancompError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise GancompError(
            f"{path}: {where + ': ' if where else ''}{fault['msg'].removeprefix('Value error, ')}"
        ) from None
    except (ValueError, RecursionError):
        raise GancompError(f"{path}: is not JSON as the page saves it") from None
    if ballot.page != key.page:
        raise GancompError(f"{path}: votes on the page {ballot.page!r}, but that of {key.experiment} is {key.page!r}")
    if beyond := [vote.pair for vote in ballot.votes if vote.pair >= len(key.pictures)]:
        raise GancompError(f"{path}: votes.pair: {beyond[0]}, but the page has {len(key.pictures)} pairs")
    return ballot


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share. It assumes independent votes: with few people it is too narrow."""
    from scipy.stats import binomtest

    interval = binomtest(successes, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
