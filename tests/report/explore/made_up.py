"""A made-up search of 5,184 subnets, and its page."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from gancomp.report.explore.build import points, strip
from gancomp.report.metrics import BY_KEY
from gancomp.report.searched import SubnetRow

SPACE = [[12, 24], [12, 18, 24], [12, 18, 24], [12, 18, 24], [16, 24], [12, 16, 24], [12, 14, 16, 24], [6, 8, 12, 24]]
NAMES = [f"width{place}" for place in range(len(SPACE))]
DRAWN = (0, 1, 2600, 5183)


def subnets() -> list[SubnetRow]:
    """Noisy scores that fall with MACs, with L1 in reverse order."""
    noise = np.random.default_rng(0).normal(size=5184)
    rows = []
    for index, widths in enumerate(itertools.product(*SPACE)):
        macs = 20_000 * sum(a * b for a, b in itertools.pairwise(widths))
        fid = 60 + 90 * math.exp(-macs / 3e7) + float(noise[index])
        rows.append(
            SubnetRow(
                index=index,
                widths=widths,
                params=macs // 64,
                macs=macs,
                macs_paper=2 * macs,
                fid=fid,
                kid=fid / 1e4,
                l1=0.05 + macs / 1e10,
                fid_low=fid - 4,
                fid_high=fid + 4,
            )
        )
    return rows


def data(title: str = "Made up") -> dict[str, Any]:
    rows = subnets()
    winner = min(rows, key=lambda row: row.fid)
    colours = np.random.default_rng(1).integers(0, 255, (6, 12, 16, 16, 3)).astype(np.uint8)
    return {
        "experiment": "mine",
        "title": title,
        "original": {"macs": 10**9, "macs_paper": 2 * 10**9, "params": 10**7},
        "space": SPACE,
        "names": NAMES,
        "commands": {name: f"gancomp {name} mine" for name in ("export", "explore")},
        **points(rows, [BY_KEY[key] for key in ("fid", "kid", "l1")], [None] * len(rows), {winner.index, 17}),
        "metric": "fid",
        "winner": winner.index,
        "budget": max(row.macs for row in rows),
        "images": 256,
        "bands": {"fid": (60.0, 70.0), "kid": (-0.002, -0.001)},
        "pictures": {
            "names": [f"val/{place}.png" for place in range(12)],
            "size": [16, 16],
            "reduced": False,
            "input": strip(colours[0]),
            "original": strip(colours[1]),
            "target": strip(colours[2]),
            "of": {index: strip(colours[3 + place % 3]) for place, index in enumerate((*DRAWN, winner.index))},
        },
    }
