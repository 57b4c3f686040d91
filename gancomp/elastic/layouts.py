"""Layouts: which groups the channels of a dimension belong to.

A dimension of channels consists of consecutive *pieces*, each a multiple of a group's width: one piece after a
convolution, several after a concatenation, a multiple before a pixel shuffle. If the network adds two activations,
their layouts are joined, piece by piece (union-find).
"""

from __future__ import annotations


class Group:
    """*full* channels that are narrowed together; *reason* says why if they cannot be."""

    def __init__(self, full: int, reason: str = "") -> None:
        self.full, self.reason, self.name = full, reason, ""
        #: The groups that replaced it: another one (joined), or several (split).
        self.layout: Layout | None = None

    def __repr__(self) -> str:
        return f"<{self.name or 'group'} {self.full}{' frozen' if self.reason else ''}>"


#: (group, factor) pieces in order; a piece has group.full x factor channels.
Layout = list[tuple[Group, int]]
#: Layouts of a value's dimensions, by dimension; the others (pictures, rows, columns) have none.
Dims = dict[int, Layout]


def single(channels: int, reason: str = "") -> Layout:
    """The layout of *channels* that are a new group, frozen if there is a *reason*."""
    return [(Group(channels, reason), 1)]


def resolved(layout: Layout) -> Layout:
    """*layout* in groups that are neither joined to others nor split."""
    pieces: Layout = []
    for group, factor in layout:
        if group.layout is None:
            pieces.append((group, factor))
        else:
            pieces += [(inner, times * factor) for inner, times in resolved(group.layout)]
    return pieces


def length(layout: Layout) -> int:
    """Channels of *layout* at full width."""
    return sum(group.full * factor for group, factor in layout)


def freeze(layout: Layout, reason: str) -> None:
    """Keep the groups of *layout* at full width; the first reason stays."""
    for group, _ in resolved(layout):
        group.reason = group.reason or reason


def join(one: Layout, other: Layout, reason: str) -> None:
    """Join the two layouts of one dimension; pieces that do not match are frozen for *reason*."""
    first, second = resolved(one), resolved(other)
    while first and second:
        (a, times), (b, others) = first.pop(0), second.pop(0)
        if (a, times) == (b, others):
            continue
        if a.full * times == b.full * others:
            if times % others == 0 and b is not a:
                _becomes(b, [(a, times // others)])
            elif others % times == 0 and b is not a:
                _becomes(a, [(b, others // times)])
            else:
                freeze([(a, times), (b, others)], reason)
            first, second = resolved(first), resolved(second)
            continue
        # The part of the longer piece beside the shorter one becomes a separate group.
        if a.full * times < b.full * others:
            parts = _split(b, others, a.full * times)
        else:
            parts = _split(a, times, b.full * others)
        if parts is None or a is b:
            freeze([(a, times), (b, others), *first, *second], reason)
            return
        first, second = resolved([(a, times), *first]), resolved([(b, others), *second])


def _becomes(group: Group, layout: Layout) -> None:
    """Join *group* to the one of *layout*, which takes over its name and reason."""
    if group.reason:
        freeze(layout, group.reason)
    group.layout = layout


def _split(group: Group, factor: int, channels: int) -> Layout | None:
    """Split *group* so that its first part, times *factor*, has *channels*; None where it has no such part."""
    if channels % factor:
        return None
    part = channels // factor
    group.layout = [(Group(part, group.reason), 1), (Group(group.full - part, group.reason), 1)]
    return group.layout


def equal_parts(layout: Layout, count: int, reason: str) -> Layout:
    """One of *count* equal parts that *layout* is divided into; if that is not possible, a frozen group."""
    pieces = resolved(layout)
    if len(pieces) % count == 0 and pieces == pieces[: len(pieces) // count] * count:
        return pieces[: len(pieces) // count]
    if len(pieces) > 1 and count % len(pieces) == 0 and pieces == pieces[:1] * len(pieces):
        return equal_parts(pieces[:1], count // len(pieces), reason)
    if len(pieces) == 1:
        group, factor = pieces[0]
        if factor % count == 0:
            return [(group, factor // count)]
        if count % factor == 0 and group.full % (count // factor) == 0:
            part = Group(group.full // (count // factor), group.reason)
            group.layout = [(part, 1)] * (count // factor)
            return [(part, 1)]
    freeze(pieces, reason)
    return [(Group(max(length(pieces) // count, 1), reason), 1)]


def divided(layout: Layout, factor: int, reason: str) -> Layout:
    """*layout* in units of *factor* channels, as a pixel shuffle takes them."""
    units: Layout = []
    for group, times in resolved(layout):
        if times % factor == 0:
            units.append((group, times // factor))
        elif times == 1 and group.full % factor == 0 and group.layout is None:
            unit = Group(group.full // factor, group.reason)
            group.layout = [(unit, factor)]
            units.append((unit, 1))
        else:
            freeze(layout, reason)
            return [(Group(max(length(layout) // factor, 1), reason), 1)]
    return units
