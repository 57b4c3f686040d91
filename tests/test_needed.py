"""What CI lacks fails its tests, unless one switch allows it; elsewhere such a test is skipped."""

from __future__ import annotations

import pytest
from browser import open_page
from hypothesis import given
from hypothesis import strategies as st
from needed import NEEDED, SWITCH, may_lack, missing


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize(
    ("ci", "without", "fails"),
    [("", "", False), ("true", "", True), ("true", "all but it", True), ("true", "it", False), ("true", "all", False)],
)
def test_missing(name: str, ci: str, without: str, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [other for other in NEEDED if other != name]
    named = {"": [], "all but it": others, "it": [name], "all": NEEDED}[without]
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv(SWITCH, ",".join(named))
    with pytest.raises(pytest.fail.Exception if fails else pytest.skip.Exception, match="not installed") as told:
        missing(name, "not installed")
    assert not fails or f"{SWITCH}={name}" in str(told.value)


@given(st.sets(st.sampled_from(NEEDED)))
def test_the_switch_names_any_of_them(names: set[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SWITCH, ",".join(sorted(names)))
        assert may_lack() == names


def test_an_unknown_name_in_the_switch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "slurm,chrome")
    with pytest.raises(pytest.UsageError, match="chrome: choose from browser, slurm, weights, mobile"):
        may_lack()


def test_ci_without_a_browser_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("browser.NAMES", ("no-such-browser",))
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv(SWITCH, raising=False)
    with pytest.raises(pytest.fail.Exception, match="none of no-such-browser is installed"), open_page():
        pass
