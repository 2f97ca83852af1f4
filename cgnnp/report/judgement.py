"""Judge a summary in words: whether the model has the atomistic structure, and what needs the reader's attention.

Every judgement is computed from the numbers in the summary. The thresholds are choices of this package.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cgnnp.analysis.agreement import LEVELS, SEVERITY, Agreement, Judgement, worst_of
from cgnnp.analysis.observables.density import SAME as SAME_DENSITY
from cgnnp.analysis.observables.dimers import HOLE_KT, has_hole
from cgnnp.analysis.observables.kirkwood_buff import is_neutral
from cgnnp.analysis.observables.observable import SIDES
from cgnnp.diagnostics.configurational_temperature import agrees
from cgnnp.diagnostics.kinetic_temperature import KineticTemperature
from cgnnp.diagnostics.soundness import DISAGREES, NOT_TESTED
from cgnnp.report.summary import Summary, TemperatureFigures
from cgnnp.runtime.formatting import UNKNOWN, number, percent, plus_minus
from cgnnp.units import SAME_TEMPERATURE

PEAK_HEIGHT, PEAK_SHIFT_NM = 0.04, 0.004
"""Thresholds of agreement: relative difference of the heights of the first peaks, and their distance (nm)."""

LOOK_CLOSER, NOT_COMPARED = "look closer", "not compared"
"""Labels of a page on which g(r) agrees but there are concerns, and of a page without g(r)."""

DRIFT_SIGMAS = 4
"""Averaged forces drift if their drift is larger than this many standard errors."""

SENTENCES = {
    Agreement.AGREES: "The g(r) of the coarse-grained model agrees with that of {system} within errors",
    Agreement.CLOSE: "The g(r) of the coarse-grained model is close to that of {system}: {deviation}",
    Agreement.DISAGREES: "The g(r) of the coarse-grained model disagrees with that of {system}: {deviation}",
    Agreement.OPEN: "The runs are too short to tell whether g(r) of the coarse-grained model agrees with that of {system}",
}

PLURAL = ("angles", "neighbours")
"""First words of the quantities whose names are plural."""

TESTED_FRAMES = {"t_conf": "mapped data", "t_conf_cg": "coarse-grained run"}

T_CONF_OF = {key: f"T_conf of the {side}" for key, side in TESTED_FRAMES.items()}


@dataclass(frozen=True)
class Verdict:
    """A judgement in words.

    `level` is good, fair, poor or open, and `label` says it in a word or two. `concerns` are sentences on what needs the
    reader's attention.
    """

    level: str
    headline: str
    concerns: list[str] = field(default_factory=list)
    label: str = ""


def judge(summary: Summary) -> Verdict:
    """Judge whether the coarse-grained model has the atomistic structure.

    The judgement comes from g(r) and the other compared quantities. If there are any concerns, the level is at best fair.
    """
    rdf = summary.rdf
    concerns = [text for entry in rdf for text in _peak_concerns(entry)]
    concerns += [*_other_concerns(summary), *_temperature_concerns(summary), *_ion_concerns(summary)]
    concerns += [*_drift_concerns(summary), *_error_concerns(summary)]
    concerns += [*_data_check_concerns(summary), *_bond_concerns(summary)]
    row, system = worst_row(summary), summary.system or "the atomistic system"
    told = [one for one in _others(summary) if one.agreement is not Agreement.OPEN]
    if row is None:
        return _without_rdf(summary, worst_of(told or _others(summary)), system, concerns)
    worst = judgement_of(row)
    verdict = max((worst, *told), key=lambda one: SEVERITY.index(one.agreement)).agreement
    level, label = LEVELS[verdict], str(verdict)
    if level == "good" and concerns:
        level, label = "fair", LOOK_CLOSER
    text = SENTENCES[worst.agreement].format(system=system, deviation=worst.size)
    which = "D" if len(summary.rdf) == 1 else f"D of the worst of {len(summary.rdf)} pairs, {row['pair']},"
    size = f"{which} is {percent(worst.deviation)}, where noise alone would give about {percent(worst.noise)}."
    return Verdict(level, f"{text}. {size}{_also(summary)}", concerns, label)


def _without_rdf(summary: Summary, worst: Judgement | None, system: str, concerns: list[str]) -> Verdict:
    """Return the verdict from the other quantities if g(r) was not compared."""
    if worst is None:
        return Verdict("open", _fit_headline(summary), concerns, NOT_COMPARED)
    told = worst.agreement is not Agreement.OPEN
    what = f"{_capital(worst.what)} compared with {system}: {worst.in_words}" if told else "The runs are too short to tell"
    return Verdict(LEVELS[worst.agreement], f"{what}. The g(r) was not compared.", concerns, str(worst.agreement))


def judgement_of(row: dict[str, Any]) -> Judgement:
    """Return the judgement of one kind of pair from its row of g(r)."""
    noise = row["residual"].get("expected_deviation")
    noise = np.nan if noise is None else noise
    return Judgement(f"g(r) of {row['pair']}", Agreement(row["verdict"]), row["deviation"], noise)


def worst_row(summary: Summary) -> dict[str, Any] | None:
    """Return the row of g(r) with the worst judgement, which decides the verdict."""
    known = [row for row in summary.rdf if number(row.get("deviation")) != UNKNOWN]
    worst = worst_of([judgement_of(row) for row in known])
    return next((row for row in known if worst is not None and judgement_of(row) == worst), None)


def _others(summary: Summary) -> list[Judgement]:
    """Return the judgements of quantities other than g(r)."""
    found = [Judgement.from_dict(row) for row in summary.judgements]
    return [one for one in found if not one.what.startswith("g(r)")]


def _also(summary: Summary) -> str:
    """Return a sentence on the other quantities: on those that disagree, or else on those that agree as g(r) does."""
    wrong = [one for one in _others(summary) if one.agreement is Agreement.DISAGREES]
    if wrong:
        many = len(wrong) > 1 or _is(wrong[0].what) == "are"
        return f" But {' and '.join(one.what for one in wrong[:2])} {'disagree' if many else 'disagrees'}."
    agree = [one.what for one in _others(summary) if one.agreement is Agreement.AGREES]
    if not 0 < len(agree) <= 2 or any(row.get("verdict") != Agreement.AGREES for row in summary.rdf):
        return ""
    return f" So {'do' if len(agree) > 1 or _is(agree[0]) == 'are' else 'does'} {' and '.join(agree)}."


def _other_concerns(summary: Summary) -> Iterable[str]:
    """Yield a concern for each quantity other than g(r) that is close or disagrees.

    The sections report the quantities for which the runs are too short.
    """
    for one in _others(summary):
        if one.agreement is Agreement.CLOSE:
            yield f"{_capital(one.what)} {_is(one.what)} close to the atomistic result: {one.size}."
        elif one.agreement is Agreement.DISAGREES:
            verb = "disagree" if _is(one.what) == "are" else "disagrees"
            yield f"{_capital(one.what)} {verb} with the atomistic result: {one.size}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _is(what: str) -> str:
    return "are" if what.startswith(PLURAL) else "is"


def _fit_headline(summary: Summary) -> str:
    model, prior = summary.r2_model, summary.r2_prior
    if model is None:
        return "Nothing has been compared with the atomistic simulation yet."
    reached = f"R² of the held-out forces is {model:.3f}"
    if prior is None:
        text = f"The potential is fitted: {reached}"
    elif model > prior:
        text = f"The network improves on its prior: {reached}, {prior:.3f} without it"
    else:
        text = f"The network does not improve on its prior: {reached}, {prior:.3f} without it"
    return f"{text}. It has not been compared with the atomistic simulation yet."


def _peak_concerns(entry: dict[str, Any]) -> Iterable[str]:
    height, shift = relative(entry.get("peak_g_atomistic"), entry.get("peak_g_cg")), peak_shift(entry)
    if height is not None and abs(height) > PEAK_HEIGHT:
        off = f"{number(100 * height, 1, sign=True)} % off (threshold: {percent(PEAK_HEIGHT)})"
        yield f"The height of the first {entry['pair']} peak is {off}."
    if shift is not None and abs(shift) > PEAK_SHIFT_NM:
        yield f"The first {entry['pair']} peak is {number(shift, 4, sign=True)} nm off (threshold: {PEAK_SHIFT_NM} nm)."


def _temperature_concerns(summary: Summary) -> Iterable[str]:
    """Yield concerns about temperatures that differ from the thermostat, and about missing values of T_conf."""
    advice = {
        "t_conf": "positions and forces do not belong to one Boltzmann distribution, so the force map may be wrong",
        "t_conf_cg": "the time step or the temperature of the run is not right",
    }
    for key, what in T_CONF_OF.items():
        found: TemperatureFigures = getattr(summary, key)
        expected = thermostat(summary, key)
        if temperature_agrees(found, expected) is False:
            value = plus_minus(found.K, found.stderr_K, 1)
            yield f"{what} is {value} K at a thermostat of {expected:g} K: {advice[key]}."
        elif found.K is None and _is_reached(summary, key):
            yield f"{what} has no value: {found.reason}."
        ybg = found.ybg or {}
        if ybg.get("agrees") is False:
            chi2 = f"χ² per function {number(ybg['chi2_per_dof'], 1)} instead of about 1"
            yield f"The g-YBG residual of the {TESTED_FRAMES[key]} is larger than its noise ({chi2}): {advice[key]}."
    measured, stderr, expected = summary.cg_temperature_K, summary.cg_temperature_stderr_K, summary.cg_thermostat_K
    if measured and stderr and expected and KineticTemperature(measured, stderr, expected).is_suspect():
        yield (
            f"The kinetic temperature of the coarse-grained run is {plus_minus(measured, stderr, 1)} K at a thermostat of "
            f"{expected:g} K: the time step of the run is too long, or its equilibration too short."
        )
    for row in _wrong_sets(summary):
        value = plus_minus(row["t_conf_K"], row.get("t_conf_stderr_K"), 1)
        at = f"at a thermostat of {summary.temperature_K:g} K"
        yield f"T_conf of the data set {row.get('data')} is {value} K {at}: {advice['t_conf']}."


def _wrong_sets(summary: Summary) -> list[dict[str, Any]]:
    """Return the rows of the further data sets whose T_conf disagrees with the thermostat of the first data set."""
    return [
        row
        for row in summary.data_sets[1:]
        if temperature_agrees(TemperatureFigures(K=row["t_conf_K"], stderr_K=row["t_conf_stderr_K"]), summary.temperature_K)
        is False
    ]


def _state_concerns(summary: Summary) -> Iterable[str]:
    """Yield concerns about a run at another temperature than the potential, or in another state than the data."""
    data, run = summary.temperature_K, summary.cg_thermostat_K
    of, own = ("data", data) if summary.potential_temperature_K is None else ("potential", summary.potential_temperature_K)
    if own and run and abs(run - own) > SAME_TEMPERATURE:
        yield (
            f"The coarse-grained run is at {run:g} K, the {of} at {own:g} K: a potential of mean force is a free energy, "
            "which includes the entropy at one temperature, so this is an extrapolation."
        )
    elif data and run and abs(run - data) > SAME_TEMPERATURE:
        yield f"The coarse-grained run is at {run:g} K, the data at {data:g} K: two different states are compared."
    for row in summary.observables.get("density") or []:
        first, second = row["density_nm3_atomistic"], row["density_nm3_cg"]
        if abs(second - first) > SAME_DENSITY * first:
            found = f"{number(second, 3)} {row['type']} per nm³, the data {number(first, 3)}"
            yield f"The coarse-grained run has {found}: two different states are compared."


def _ion_concerns(summary: Summary) -> Iterable[str]:
    """Yield concerns about the state of the run, about wells inside the repulsive wall, and about electroneutrality."""
    yield from _state_concerns(summary)
    for row in summary.dimers:
        if has_hole(row):
            where = (
                f"{number(row['lowest_inside_nm'], 3)} nm, below the first sampled distance of "
                f"{number(row['first_sampled_nm'], 3)} nm"
            )
            yield (
                f"An isolated dimer {row['pair']} may collapse: at {where}, its energy relative to that distance is "
                f"{number(row['lowest_inside_kT'], 1, sign=True)} kT, where a repulsive wall should be (threshold: "
                f"{number(HOLE_KT, 0, sign=True)} kT)."
            )
    for row in (summary.observables.get("kirkwood_buff") or {}).get("electroneutrality") or []:
        for side, run in SIDES.items():
            if is_neutral(row, side) is False:
                found = plus_minus(row[f"sum_{side}"], row.get(f"sum_stderr_{side}"), 3)
                yield (
                    f"In the {run} run, the charge around {row['type']} is {found} times the opposite of its own charge. "
                    "Electroneutrality demands 1 for any model: the run is too short, or its box too small, for "
                    "Kirkwood-Buff integrals."
                )


def _drift_concerns(summary: Summary) -> Iterable[str]:
    """Yield a concern if averaged forces still change during the averaging time, so that the solvent had not relaxed."""
    value, stderr = summary.label_drift, summary.label_drift_stderr
    if value is not None and stderr and abs(value) > DRIFT_SIGMAS * stderr:
        found = f"{number(100 * value, 1, sign=True)} ± {number(100 * stderr, 1)} %"
        yield f"The averaged forces change by {found} between the halves of the averaging time: the solvent had not relaxed."


def _error_concerns(summary: Summary) -> Iterable[str]:
    """Yield concerns about errors from runs that are too short: fewer than 20 blocks of two autocorrelation times."""
    runs = [
        (summary.r2_reliable, "R²", "held-out part of the atomistic run"),
        (summary.t_conf.reliable, T_CONF_OF["t_conf"], "atomistic run"),
        (summary.t_conf_cg.reliable, T_CONF_OF["t_conf_cg"], "coarse-grained run"),
    ]
    short = [(figure, run) for reliable, figure, run in runs if reliable is False]
    salt = summary.observables.get("kirkwood_buff") or {}
    for side, run in SIDES.items():
        if salt.get(f"reliable_{side}") is False:
            short.append(("the Kirkwood-Buff integrals", f"{run} run"))
        pairs = [entry["pair"] for entry in summary.rdf if entry.get(f"reliable_{side}") is False]
        short += [(f"g(r) ({', '.join(pairs)})", f"{run} run")] if pairs else []
    for figure, run in short:
        yield f"The error of {figure} is not reliable: the {run} is too short for it."


def _data_check_concerns(summary: Summary) -> Iterable[str]:
    """Yield what the check of the data found wrong or could not test, without what `_temperature_concerns` already says."""
    check, said = summary.data_check or {}, _temperature_reasons(summary)
    given = [str(reason).rstrip(".") for reason in check.get("reasons") or []]
    left = [text for text in given if not any(text.startswith(start) and figure in text for start, figure in said)]
    if given and not left:
        return
    reasons = "; ".join(left) or "the reason is not known"
    if check.get("verdict") == DISAGREES:
        yield f"The check of the mapped data disagrees: {reasons}."
    elif check.get("verdict") == NOT_TESTED:
        yield f"The check of the mapped data could not test everything: {reasons}."


def _temperature_reasons(summary: Summary) -> list[tuple[str, str]]:
    """Return the beginnings and figures of reasons of the data check that `_temperature_concerns` already reports."""
    found, first = summary.t_conf, {"t_conf_K": summary.t_conf.K, "t_conf_stderr_K": summary.t_conf.stderr_K}
    wrong = [first] * (temperature_agrees(found, summary.temperature_K) is False) + _wrong_sets(summary)
    said = [("T_conf ", f": {row['t_conf_K']:.1f}({row.get('t_conf_stderr_K') or 0.0:.1f}) K, but") for row in wrong]
    if found.K is None and _is_reached(summary, "t_conf"):
        said.append((f"T_conf: {str(found.reason).rstrip('.')}", ""))
    ybg = found.ybg or {}
    if ybg.get("agrees") is False:
        said.append(("g-YBG residual: ", f" {ybg['chi2_per_dof']:.2f} of {ybg.get('dof')} functions"))
    return said


def _is_reached(summary: Summary, key: str) -> bool:
    """Return whether T_conf was computed, which leaves a reason if it has no value, and the run got beyond the data check.

    `key` is t_conf or t_conf_cg.
    """
    figures: TemperatureFigures = getattr(summary, key)
    return figures.reason is not None and (key == "t_conf_cg" or bool(summary.rdf) or summary.r2_model is not None)


def _bond_concerns(summary: Summary) -> Iterable[str]:
    """Yield a concern if beads look bonded in the data: a model without bonds does not hold them together."""
    if found := summary.undeclared_bonds:
        yield f"In the data {found['says']}."


def temperature_agrees(found: TemperatureFigures, expected: float | None) -> bool | None:
    """Return whether T_conf agrees with a thermostat temperature (K) within 2 % or four standard errors.

    None if one of the two is not known.
    """
    return None if found.K is None or not expected else bool(agrees(found.K, found.stderr_K or 0.0, expected))


def thermostat(summary: Summary, key: str) -> float | None:
    """Return the temperature (K) that T_conf should have: that of its own run. `key` is t_conf or t_conf_cg."""
    return (summary.cg_thermostat_K if key == "t_conf_cg" else None) or summary.temperature_K


def peak_shift(entry: dict[str, Any]) -> float | None:
    """Return the position of the first coarse-grained peak minus that of the first atomistic peak, in nm."""
    atomistic, cg = entry.get("peak_r_nm_atomistic"), entry.get("peak_r_nm_cg")
    return None if atomistic is None or cg is None else cg - atomistic


def relative(reference: float | None, value: float | None) -> float | None:
    """Return (value - reference) / reference, or None if it cannot be computed."""
    return None if not reference or value is None else (value - reference) / reference
