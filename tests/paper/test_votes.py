"""The preference test: the page does not reveal whose pictures are shown, saves votes in a browser; counting votes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import open_page
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import EXPERIMENT, Workspace

from gancomp.errors import GancompError
from gancomp.paper.votes import Key, count_votes, folder, page_of, preference, read_ballot, wilson, write_vote_page
from gancomp.pipeline.files import write_json

PAGE = "0123456789abcdef"


def pixels(seed: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 24, 3), dtype=np.uint8)


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Key:
    """The key of a page of three pairs, in the current folder; ours is p, q, p."""
    monkeypatch.chdir(tmp_path)
    key = Key(
        page=PAGE,
        experiment="mine",
        pictures=("a", "b", "c"),
        ours=("p", "q", "p"),
        data_hash="sha256:" + "0" * 64,
        code_version="test",
    )
    write_json(folder("mine") / "key.json", key.model_dump(mode="json"))
    return key


def vote(pair: int, chosen: str, left: str = "p") -> dict[str, Any]:
    return {"pair": pair, "chosen": chosen, "left": left, "seconds": 1.5}


def ballot(path: str, votes: list[dict[str, Any]], voter: str = "0a" * 8, page: str = PAGE) -> Path:
    file = Path(path)
    file.write_text(json.dumps({"page": page, "voter": voter, "votes": votes}))
    return file


def test_votes_are_counted_by_the_key(key: Key) -> None:
    first = ballot("one.json", [vote(0, "p"), vote(1, "p"), vote(2, "p")])
    second = ballot("two.json", [vote(1, "q", left="q")], voter="0b" * 8)
    counted = count_votes("mine", [first, second])
    assert (counted.voters, counted.votes, counted.ours) == (2, 4, 3)
    assert counted.share == 0.75
    assert counted.left == 1.0
    assert counted.low < 0.75 < counted.high
    assert preference("mine") == counted


def test_a_person_who_saves_twice_counts_once(key: Key) -> None:
    early = ballot("early.json", [vote(0, "q")])
    late = ballot("late.json", [vote(0, "p"), vote(1, "q")])
    for files in ([early, late], [late, early], [late, late]):
        counted = count_votes("mine", files)
        assert (counted.voters, counted.votes, counted.ours) == (1, 2, 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not JSON", "not JSON as"),
        ("[" * 100_000, "not JSON as"),
        ("[]", "valid dictionary"),
        (json.dumps({"page": PAGE, "voter": "<script>", "votes": []}), "voter"),
        (json.dumps({"page": "another", "voter": "0a" * 8, "votes": []}), "the page 'another'"),
        (json.dumps({"page": PAGE, "voter": "0a" * 8, "votes": [vote(3, "p")]}), "votes.pair: 3"),
        (json.dumps({"page": PAGE, "voter": "0a" * 8, "votes": [vote(-1, "p")]}), "votes.0.pair"),
        (json.dumps({"page": PAGE, "voter": "0a" * 8, "votes": [vote(1, "r")]}), "votes.0.chosen"),
        (json.dumps({"page": PAGE, "voter": "0a" * 8, "votes": [vote(1, "p"), vote(1, "q")]}), "two votes"),
        (" " * 1_000_001, "1,000,001 bytes"),
    ],
)
def test_a_file_that_is_no_ballot_is_named_and_nothing_is_counted(key: Key, text: str, told: str) -> None:
    good = ballot("good.json", [vote(0, "p")])
    bad = Path("bad.json")
    bad.write_text(text)
    with pytest.raises(GancompError, match=rf"bad\.json.*{told}"):
        count_votes("mine", [good, bad])
    assert preference("mine") is None


def test_a_missing_file_and_an_empty_ballot_are_refused(key: Key) -> None:
    with pytest.raises(GancompError, match=r"gone\.json: cannot be read"):
        read_ballot(Path("gone.json"), key)
    with pytest.raises(GancompError, match="no votes"):
        count_votes("mine", [ballot("empty.json", [])])


def test_wilson_holds_textbook_values() -> None:
    # 8 of 10: (0.490, 0.943); none of 10 still has a chance.
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=5e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=5e-4)


@given(st.integers(1, 500), st.data())
def test_wilson_is_symmetric_and_holds_the_share(count: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, count))
    low, high = wilson(successes, count)
    assert 0 <= low <= successes / count <= high <= 1
    assert wilson(count - successes, count) == pytest.approx((1 - high, 1 - low))


def test_the_page_does_not_tell_whose_picture_is_whose() -> None:
    ours, theirs = pixels(1), pixels(2)
    assert page_of(pixels(0), ours, theirs, "pqp") == page_of(
        pixels(0),
        np.stack([ours[0], theirs[1], ours[2]]),
        np.stack([theirs[0], ours[1], theirs[2]]),
        "ppp",
    )


def test_the_page_of_an_experiment(workspace: Workspace) -> None:
    config, name = workspace.config(), EXPERIMENT
    write_vote_page(config, name, pictures=2, device="cpu")
    made = (folder(name) / "page.html").read_bytes()
    write_vote_page(config, name, pictures=2, device="cpu")
    assert (folder(name) / "page.html").read_bytes() == made
    assert made.count(b"data:image/png") == 6

    key = json.loads((folder(name) / "key.json").read_text())
    assert len(key["pictures"]) == len(key["ours"]) == 2
    count_votes(name, [ballot("votes.json", [vote(0, "p")], page=key["page"])])
    with pytest.raises(GancompError, match="contains votes on other pictures"):
        write_vote_page(config, name, pictures=1, device="cpu")
    assert (folder(name) / "page.html").read_bytes() == made


def test_a_person_votes_in_a_browser(key: Key, tmp_path: Path) -> None:
    name, text = page_of(pixels(0), pixels(1), pixels(2), key.ours)
    write_json(folder("mine") / "key.json", key.model_copy(update={"page": name}).model_dump(mode="json"))
    Path("page.html").write_text(text)
    with open_page() as page:
        page.goto((tmp_path / "page.html").as_uri())
        assert page.locator("#told").inner_text() == "Pair 1 of 3"
        assert page.locator("#save").is_disabled()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Backspace")
        assert page.locator("#told").inner_text() == "Pair 2 of 3"
        # A page that is opened again goes on where the person was.
        page.reload()
        assert page.locator("#told").inner_text() == "Pair 2 of 3"
        page.locator("#left").click()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        assert page.locator("#done").is_visible()
        with page.expect_download() as download:
            page.locator("#save").click()
        download.value.save_as("saved.json")
    votes = json.loads(Path("saved.json").read_text())["votes"]
    assert sorted(vote["pair"] for vote in votes) == [0, 1, 2]
    counted = count_votes("mine", [Path("saved.json")])
    assert counted.votes == 3
    assert counted.left == 1.0
    assert counted.ours == sum(vote["left"] == key.ours[vote["pair"]] for vote in votes)
