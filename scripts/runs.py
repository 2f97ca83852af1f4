"""Rows of finished runs: values from a summary.json, and results of `python -m cgnnp.check` on a potential."""

from pathlib import Path
from typing import Any

from rows import Row, Target, at_least, judged

import cgnnp
from cgnnp.diagnostics.soundness import AGREES, DISAGREES

FIGURES = {
    "T_conf of the mapped data, K": ("t_conf_K", "t_conf_stderr_K"),
    "R2 of the prior": ("r2_prior", "r2_prior_stderr"),
    "R2 of prior and network": ("r2_model", "r2_stderr"),
    "gain in R2, paired": ("r2_gain", "r2_gain_stderr"),
    "R2 after refinement": ("r2_refined", "r2_refined_stderr"),
    "T_conf of the CG run, K": ("t_conf_cg_K", "t_conf_cg_stderr_K"),
    "atomistic ns/day": ("atomistic_ns_per_day", ""),
    "CG ns/day, all replicas": ("cg_ns_per_day", ""),
}
"""For each row label, the names of the entries of summary.json with the value and its standard error ("": no error)."""

WALL = at_least(20.0, ", no hole")
"""Target for the height of the walls of isolated dimers, in kT."""


def summary_rows(summary: dict[str, Any], least_speed: float, targets: dict[str, Target] | None = None) -> list[Row]:
    """Return rows of the values in a summary, and of the ratio of CG to atomistic speed (ns/day).

    Args:
        summary: content of the summary.json of a run; entries that it lacks give no row.
        least_speed: smallest ratio of CG to atomistic ns/day that meets the target.
        targets: targets of some rows, by label.
    """
    rows = []
    for figure, (key, error) in FIGURES.items():
        if (value := summary.get(key)) is not None:
            rows.append(judged(figure, value, (targets or {}).get(figure), summary.get(error)))
    atomistic, coarse = summary.get("atomistic_ns_per_day"), summary.get("cg_ns_per_day")
    ratio = coarse / atomistic if coarse and atomistic else None
    return [*rows, judged("CG over atomistic ns/day", ratio, at_least(least_speed))]


def check_rows(potential: Path, tests: list[str], **settings: Any) -> list[Row]:
    """Check an exported potential as `python -m cgnnp.check` does, and return one row for each result.

    Rows of dimer walls have the target `WALL`, which is stricter than that of the check.
    """
    rows = []
    for row in cgnnp.check_potential(potential, tests=tests, **settings).rows:
        figure, met = f"{row.name}, {row.unit}", {AGREES: True, DISAGREES: False}.get(row.verdict)
        if row.name.startswith("dimer wall"):
            met = bool(met) and row.value is not None and WALL.holds(row.value)
            rows.append(Row(figure, row.value, row.stderr, WALL.words, met))
        else:
            rows.append(Row(figure, row.value, row.stderr, row.target, met))
    return rows
