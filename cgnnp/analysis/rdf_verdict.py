"""What the rows of g(r) in a summary say, in words: the judgement of each pair, and of the worst of them."""

from collections.abc import Sequence
from typing import Any

from cgnnp.analysis.rdf_residual import Agreement
from cgnnp.runtime.formatting import UNKNOWN, number, percent

SEVERITY = (Agreement.AGREES, Agreement.CLOSE, Agreement.OPEN, Agreement.DISAGREES)
"""From best to worst: what is not known may be worse than close."""

LEVELS = {Agreement.AGREES: "good", Agreement.CLOSE: "fair", Agreement.OPEN: "open", Agreement.DISAGREES: "poor"}
"""Colours of a page."""

SENTENCES = {
    Agreement.AGREES: "The g(r) of the coarse-grained model agrees with that of {system} within errors",
    Agreement.CLOSE: "The g(r) of the coarse-grained model is close to that of {system}: {deviation}",
    Agreement.DISAGREES: "The g(r) of the coarse-grained model disagrees with that of {system}: {deviation}",
    Agreement.OPEN: "The runs are too short to tell whether g(r) of the coarse-grained model agrees with that of {system}",
}


def agreement(row: dict[str, Any]) -> Agreement:
    """The judgement of one pair."""
    return Agreement(row["verdict"])


def in_words(row: dict[str, Any]) -> str:
    """The judgement of one pair with its size, for example "close: systematic deviation of 2.0 %"."""
    found = agreement(row)
    if found in (Agreement.CLOSE, Agreement.DISAGREES):
        return f"{found}: {_systematic(row)}"
    return str(found)


def worst_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The pair to judge a model by: that of the worst judgement."""
    known = [row for row in rows if number(row.get("deviation")) != UNKNOWN]
    order = {found: k for k, found in enumerate(SEVERITY)}
    return max(known, key=lambda row: (order[agreement(row)], row["deviation"]), default=None)


def headline(row: dict[str, Any], n_pairs: int, system: str) -> str:
    """One or two sentences on the worst of several pairs."""
    text = SENTENCES[agreement(row)].format(system=system, deviation=_systematic(row))
    which = "D" if n_pairs == 1 else f"D of the worst of {n_pairs} pairs, {row['pair']},"
    noise = percent(row["residual"].get("expected_deviation"))
    return f"{text}. {which} is {percent(row['deviation'])}, where noise alone would give about {noise}."


def _systematic(row: dict[str, Any]) -> str:
    """D without its noise; a residual that is beyond noise where D is not is smaller than that noise."""
    residual = row["residual"]
    if found := residual.get("systematic_deviation"):
        return f"systematic deviation of {percent(found)}"
    return f"systematic deviation below {percent(residual.get('expected_deviation'))}"
