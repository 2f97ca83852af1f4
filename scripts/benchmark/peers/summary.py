"""The few figures that the others are for: how many times faster than each peer, and how time grows with size."""

import re
import statistics
from typing import Any

from rows import Row

FASTER, SIZE = "times faster than", "64,000 over 1,000 waters"
TARGETS = (
    ("216 waters, forces", "NequIP l=1", r"^NequIP l=1$", 1, 12.0),
    ("216 waters, forces", "NequIP l=1, its best mode", r"^NequIP l=1", 1, 8.0),
    ("216 waters, forces", "the best mode of all peers", r"", 1, 6.0),
    ("216 waters, forces", "NequIP l=2, its best mode", r"^NequIP l=2", 2, 8.0),
    ("216 waters, train, batch 1", "NequIP l=1", r"^NequIP l=1$", 1, 6.0),
    ("216 waters, train, batch 8", "the best mode of all peers", r"", 1, 4.0),
    ("216 waters, MD step", "NequIP l=1 in openmm-ml", r"^NequIP l=1", 1, 12.0),
)
"""(case, peers in words, peers as a regular expression, our l, least ratio)"""
MOST_GROWTH = 1.5


def summary(found: dict[str, list[Any]]) -> list[Row]:
    """Rows of the cases that were measured."""
    rows = []
    for case, words, pattern, l_max, least in TARGETS:
        works = [m for m in found.get(case, []) if m.seconds and not m.error]
        ours = [m for m in works if m.is_ours and m.l_max == l_max]
        peers = [m for m in works if not m.is_ours and re.search(pattern, m.label)]
        if not ours or not peers:
            continue
        mine, theirs = (min(group, key=lambda m: m.median) for group in (ours, peers))
        ratios = [b / a for a, b in zip(mine.seconds, theirs.seconds, strict=True)]
        ratio, spread = statistics.median(ratios), statistics.quantiles(ratios, n=4)
        named = words if len(peers) == 1 else f"{words} ({theirs.label})"
        figure = f"{case}: {FASTER} {named}"
        rows.append(Row(figure, ratio, (spread[2] - spread[0]) / 2, f">= {least:g}", ratio >= least))
    return [*rows, *growth(found)]


def growth(found: dict[str, list[Any]]) -> list[Row]:
    """Time and memory per bead of ours, compiled, of a large system over a small one."""

    def ours(size: str) -> Any:
        measured = [m for m in found.get(f"{size} waters, forces", []) if m.label == "cgnnp NequIP l=1, compiled"]
        return measured[0] if measured and measured[0].seconds else None

    small, large = ours("1,000"), ours("64,000")
    if small is None or large is None:
        return []
    ratios = {
        "time per bead": large.median / small.median / 64,
        "memory per bead": growth_of_memory(large) / growth_of_memory(small) / 64,
    }
    target = f"<= {MOST_GROWTH:g}"
    return [Row(f"{SIZE}: {name}", ratio, None, target, ratio <= MOST_GROWTH) for name, ratio in ratios.items()]


def growth_of_memory(measured: Any) -> float:
    """MB above what the process had before it computed."""
    return measured.facts["memory_mb"] - measured.facts["idle_mb"]
