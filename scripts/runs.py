"""Rows that programs take from finished runs: figures of a summary.json, and what the check of a potential finds."""

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
"""Figures of a run, with the entries of summary.json that hold the value and its standard error."""

WALL = at_least(20.0, ", no hole")
"""Target of the walls of isolated dimers, in kT."""


def summary_rows(summary: dict[str, Any], least_speed: float, targets: dict[str, Target] | None = None) -> list[Row]:
    """Return the figures that a summary has, some with targets, and the speed over that of the atomistic simulation."""
    rows = []
    for figure, (key, error) in FIGURES.items():
        if (value := summary.get(key)) is not None:
            rows.append(judged(figure, value, (targets or {}).get(figure), summary.get(error)))
    atomistic, coarse = summary.get("atomistic_ns_per_day"), summary.get("cg_ns_per_day")
    ratio = coarse / atomistic if coarse and atomistic else None
    return [*rows, judged("CG over atomistic ns/day", ratio, at_least(least_speed))]


def check_rows(potential: Path, tests: list[str], **settings: Any) -> list[Row]:
    """Return what `python -m cgnnp.check` finds. Walls must be higher than the check itself asks for."""
    rows = []
    for row in cgnnp.check_potential(potential, tests=tests, **settings).rows:
        figure, met = f"{row.name}, {row.unit}", {AGREES: True, DISAGREES: False}.get(row.verdict)
        if row.name.startswith("dimer wall"):
            met = bool(met) and row.value is not None and WALL.holds(row.value)
            rows.append(Row(figure, row.value, row.stderr, WALL.words, met))
        else:
            rows.append(Row(figure, row.value, row.stderr, row.target, met))
    return rows
