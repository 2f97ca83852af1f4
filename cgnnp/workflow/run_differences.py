"""Say in sentences how runs differ from the first of them, and whether the differences exceed their errors."""

from collections.abc import Sequence

import numpy as np

from cgnnp.analysis.agreement import Judgement
from cgnnp.report.summary import Row
from cgnnp.runtime.formatting import number

SIGNIFICANT = 2.0
"""A difference counts as significant if it is larger than this many standard errors."""

SEED = "seed"
"""Name of the setting that alone differs between runs which repeat the same fit."""


def difference_sentences(rows: Sequence[Row], differing: Sequence[str]) -> list[str]:
    """Return a sentence on every run after the first; if runs differ in their seeds alone, also one on the spread of R2.

    Args:
        rows: rows of the runs, as `ManyRuns.rows` returns them.
        differing: names of the settings in which the runs differ.
    """
    first, *others = rows
    found = [f"{one['label']} compared with {first['label']}: {_differences(one, first)}" for one in others]
    return [*found, *_spread_of_seeds(rows, differing)]


def sized(found: Judgement) -> str:
    """Return the deviation of a quantity from the atomistic data, the noise alone and the judgement, for a table of runs.

    >>> from cgnnp.analysis.agreement import Agreement
    >>> sized(Judgement("g(r) of W-W", Agreement.CLOSE, 0.05, 0.03))
    '5.0 % (noise alone 3.0 %), close'
    """
    noise = f" (noise alone {found.amount(found.noise)})" if np.isfinite(found.noise) else ""
    return f"{found.amount(found.deviation)}{noise}, {found.agreement}"


def deviations_explained(atomistic_is_one: bool) -> str:
    """Return the note on the deviations in a table of runs.

    Args:
        atomistic_is_one: whether all runs were compared with the same atomistic data.
    """
    several = "" if atomistic_is_one else " The runs were compared with different data: do not compare deviations."
    return (
        "Other columns show the deviation from the atomistic data (D of curves, relative difference of numbers, difference "
        f"of the mean q of the tetrahedral order), in brackets the deviation that noise alone would give, and the "
        f"judgement.{several}"
    )


def _differences(one: Row, first: Row) -> str:
    parts = [text for text in (_r2_difference(one), *_structure_differences(one, first)) if text]
    return f"{'; '.join(parts)}." if parts else "neither R² nor structure can be compared."


def _r2_difference(one: Row) -> str:
    """Describe the difference in R2, for example "R² is lower by 0.0023 ± 0.0014 (1.6 errors: not significant)"."""
    gain, stderr = one["r2_less_first"], one["r2_less_first_stderr"]
    if gain is None:
        return ""
    if not stderr:
        return f"R² differs by {number(gain, 4, sign=True)}, with an unknown error"
    sigmas = abs(gain) / stderr
    verdict = "significant" if sigmas > SIGNIFICANT else "not significant"
    way = "higher" if gain > 0 else "lower"
    return f"R² is {way} by {number(abs(gain), 4)} ± {number(stderr, 4)} ({number(sigmas, 1)} standard errors: {verdict})"


def _structure_differences(one: Row, first: Row) -> list[str]:
    """Describe how the deviation from the atomistic data differs, for every quantity that both runs compare."""
    known = {row["what"]: Judgement.from_dict(row) for row in first["judgements"]}
    found = [Judgement.from_dict(row) for row in one["judgements"]]
    return [_of_quantity(judged, known[judged.what]) for judged in found if judged.what in known]


def _of_quantity(one: Judgement, first: Judgement) -> str:
    noise = float(np.hypot(one.noise, first.noise))
    sizes = f"{one.what} deviates by {one.amount(one.deviation)} instead of {first.amount(first.deviation)}"
    if not np.isfinite(noise):
        return sizes
    within = abs(one.deviation - first.deviation) <= noise
    return f"{sizes}, {'a difference within' if within else 'more than'} the noise of both"


def _spread_of_seeds(rows: Sequence[Row], differing: Sequence[str]) -> list[str]:
    """Describe the seed-to-seed standard deviation of R2, for runs that differ in their seeds alone."""
    if list(differing) != [SEED]:
        return []
    kind = "r2_common" if all(row["r2_common"] is not None for row in rows) else "r2_own"
    values = [row[kind] for row in rows if row[kind] is not None]
    said = "The runs differ in their seed alone, so that their differences are the seed-to-seed spread"
    if len(values) < 3:
        return [f"{said} (three runs or more give a standard deviation)."]
    return [f"{said}: the standard deviation of R² is {number(float(np.std(values, ddof=1)), 4)}."]
