"""What a user gives as a generator, told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from gancomp.compression.imported import is_builder


@pytest.mark.parametrize(
    ("generator", "builder"),
    [
        ("mypackage.nets:build", True),
        ("nets:Net.small", True),
        ("latest_net_G.pth", False),
        ("C:net.pth", True),  # a module called C, since there is no such file
        ("a b:c", False),
        ("https://host/net.pth", False),
    ],
)
def test_a_builder_is_told_from_a_file(
    generator: str, builder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_builder(generator) is builder
    if "/" not in generator:
        (tmp_path / generator).touch()
        assert not is_builder(generator)
