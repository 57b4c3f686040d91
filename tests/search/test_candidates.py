"""The subnets to score, and their shards."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import EXPERIMENT, Workspace

from gancomp.measure.macs import profile
from gancomp.report.searched import SEARCH_COLUMNS, SubnetRow
from gancomp.search import candidates as module
from gancomp.search.candidates import as_text, candidates, shard_of


@pytest.mark.parametrize("budget", ["5.5x", "6.2x", "300k", "1x"])
def test_exactly_the_subnets_under_the_budget(finished: Workspace, budget: str) -> None:
    config = finished.config(search={"budget": budget})
    original = profile(module.generator_spec(config, EXPERIMENT, "original")).macs
    limit = original / float(budget[:-1]) if budget.endswith("x") else 300_000
    student = module.generator_spec(config, EXPERIMENT, "distill")
    everything = list(itertools.product(*config.experiments[EXPERIMENT].supernet.space))
    expected = [
        (index, widths) for index, widths in enumerate(everything) if profile(student.with_widths(widths)).macs <= limit
    ]
    found = candidates(config, EXPERIMENT)
    assert [(subnet.index, subnet.widths) for subnet in found] == expected
    assert [subnet.profile.macs for subnet in found] == [profile(student.with_widths(one)).macs for _, one in expected]
    assert (len(found) == 64) == (budget == "1x")


@given(st.integers(0, 400), st.integers(1, 50), st.integers(1, 64))
def test_shards_partition_the_subnets(count: int, shards: int, group: int) -> None:
    """In order, none missing and none twice, in whole groups, and as evenly as whole groups allow."""
    subnets = list(range(count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GROUP", group)
        parts = [shard_of(subnets, index, shards) for index in range(shards)]
    assert list(itertools.chain(*parts)) == subnets
    assert all(part[0] % group == 0 for part in parts if part)
    sizes = [-(-len(part) // group) for part in parts]
    assert max(sizes) - min(sizes) <= 1


#: A share, or an empty cell.
shares = st.none() | st.floats(0, 1)


@given(st.floats(0, 1e4), st.floats(-10, 10), shares, shares, st.lists(st.integers(1, 4096), min_size=8, max_size=8))
def test_row_as_text_reads_back(
    fid: float, kid: float, l1: float | None, miou: float | None, widths: list[int]
) -> None:
    row = SubnetRow(index=3, widths=tuple(widths), macs=2, macs_paper=3, params=4, fid=fid, kid=kid, l1=l1, miou=miou)
    text = as_text(row)
    assert tuple(text) == SEARCH_COLUMNS
    back = SubnetRow.model_validate(text)
    assert back.model_copy(update={"fid": fid, "kid": kid, "l1": l1, "miou": miou}) == row
    assert back.fid == pytest.approx(fid, abs=5.01e-7)
    assert back.kid == pytest.approx(kid, abs=5e-10)
    for mine, theirs in ((back.l1, l1), (back.miou, miou)):
        assert mine == (theirs if theirs is None else pytest.approx(theirs, abs=5e-10))
    assert as_text(back) == text
