"""Drawings of others: what is refused before it is drawn."""

from __future__ import annotations

import pytest

from gancomp.data.svg import parse_svg
from gancomp.errors import GancompError

from .conftest import svg

HEAD = '<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'


@pytest.mark.parametrize(
    ("drawing", "message"),
    [
        ('<!DOCTYPE svg [<!ENTITY a "aaaa">]>' + svg(), "document type or entities"),
        ('<!doctype svg SYSTEM "file:///etc/passwd">' + svg(), "document type or entities"),
        (HEAD + '<g id="line"><image href="file:///etc/passwd"/></g></svg>', "only plain shapes"),
        (HEAD + '<g id="line"><use xlink:href="#a"/></g></svg>', "only plain shapes"),
        (HEAD + "<script>1</script></svg>", "only plain shapes"),
        (HEAD + '<style>@import "x.css"</style></svg>', "only plain shapes"),
        (HEAD + "<text>a</text></svg>", "only plain shapes"),
        (HEAD + '<path xlink:href="other.svg#a"/></svg>', "refers to another file"),
        (HEAD + '<path fill="url(http://x/y.svg#a)"/></svg>', "refers to another file"),
        (HEAD + "<path style=\"fill:URL( 'y.svg#a')\"/></svg>", "refers to another file"),
        (HEAD, "not a well-formed drawing"),
        ("", "not a well-formed drawing"),
        ("<svg/>", "only plain shapes"),
    ],
)
def test_unsafe_drawings_are_refused_by_name(drawing: str, message: str) -> None:
    with pytest.raises(GancompError, match=rf"1F600\.svg: .*{message}"):
        parse_svg("1F600", drawing.encode())


def test_another_encoding_cannot_hide_entities() -> None:
    hidden = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE svg [<!ENTITY a "b">]>' + svg()
    with pytest.raises(GancompError, match=r"1F600\.svg"):
        parse_svg("1F600", hidden.encode("utf-16"))


def test_references_within_the_drawing_are_allowed() -> None:
    parse_svg("x", (HEAD + '<path clip-path="url(#a)" xlink:href="#b"/></svg>').encode())
