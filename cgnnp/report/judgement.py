"""What a summary says in words: does the model have the atomistic structure, and what should a reader look at?

Every word is computed from the numbers in the summary; thresholds are ours.
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
"""What counts as agreement: relative height and shift (nm) of the first peak."""

LOOK_CLOSER, NOT_COMPARED = "look closer", "not compared"
"""What a page says where g(r) agrees and something else does not, and where there is no g(r)."""

DRIFT_SIGMAS = 4
"""A drift of averaged forces beyond this many standard errors is called one."""

SENTENCES = {
    Agreement.AGREES: "The g(r) of the coarse-grained model agrees with that of {system} within errors",
    Agreement.CLOSE: "The g(r) of the coarse-grained model is close to that of {system}: {deviation}",
    Agreement.DISAGREES: "The g(r) of the coarse-grained model disagrees with that of {system}: {deviation}",
    Agreement.OPEN: "The runs are too short to tell whether g(r) of the coarse-grained model agrees with that of {system}",
}

PLURAL = ("angles", "neighbours")
"""Quantities that are many."""

TESTED_FRAMES = {"t_conf": "mapped data", "t_conf_cg": "coarse-grained run"}

T_CONF_OF = {key: f"T_conf of the {side}" for key, side in TESTED_FRAMES.items()}


@dataclass(frozen=True)
class Verdict:
    """A judgement in plain words: `level` is good, fair, poor or open; `concerns` say what a reader should look at.

    `label` is the level in a word or two.
    """

    level: str
    headline: str
    concerns: list[str] = field(default_factory=list)
    label: str = ""


def judge(summary: Summary) -> Verdict:
    """Does the coarse-grained model have the atomistic structure?

    From the residual of g(r), and from the concerns, each of which takes the green from a page.
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
    """The verdict where g(r) was not compared: that of what was."""
    if worst is None:
        return Verdict("open", _fit_headline(summary), concerns, NOT_COMPARED)
    told = worst.agreement is not Agreement.OPEN
    what = f"{_capital(worst.what)} beside {system}: {worst.in_words}" if told else "The runs are too short to tell"
    return Verdict(LEVELS[worst.agreement], f"{what}. The g(r) was not compared.", concerns, str(worst.agreement))


def judgement_of(row: dict[str, Any]) -> Judgement:
    """The judgement that a row of g(r) says of its pair."""
    noise = row["residual"].get("expected_deviation")
    noise = np.nan if noise is None else noise
    return Judgement(f"g(r) of {row['pair']}", Agreement(row["verdict"]), row["deviation"], noise)


def worst_row(summary: Summary) -> dict[str, Any] | None:
    """The row of g(r) to judge a model by: that of the worst judgement."""
    known = [row for row in summary.rdf if number(row.get("deviation")) != UNKNOWN]
    worst = worst_of([judgement_of(row) for row in known])
    return next((row for row in known if worst is not None and judgement_of(row) == worst), None)


def _others(summary: Summary) -> list[Judgement]:
    """Judgements of other quantities than g(r)."""
    found = [Judgement.from_dict(row) for row in summary.judgements]
    return [one for one in found if not one.what.startswith("g(r)")]


def _also(summary: Summary) -> str:
    """A sentence on what disagrees beside g(r), or else on what agrees too."""
    wrong = [one for one in _others(summary) if one.agreement is Agreement.DISAGREES]
    if wrong:
        many = len(wrong) > 1 or _is(wrong[0].what) == "are"
        return f" But {' and '.join(one.what for one in wrong[:2])} {'disagree' if many else 'disagrees'}."
    agree = [one.what for one in _others(summary) if one.agreement is Agreement.AGREES]
    if not 0 < len(agree) <= 2 or any(row.get("verdict") != Agreement.AGREES for row in summary.rdf):
        return ""
    return f" So {'do' if len(agree) > 1 or _is(agree[0]) == 'are' else 'does'} {' and '.join(agree)}."


def _other_concerns(summary: Summary) -> Iterable[str]:
    """Quantities beside g(r) that are close or disagree; where the runs are too short to tell, the sections say so."""
    for one in _others(summary):
        if one.agreement is Agreement.CLOSE:
            yield f"{_capital(one.what)} {_is(one.what)} close to the atomistic: {one.size}."
        elif one.agreement is Agreement.DISAGREES:
            verb = "disagree" if _is(one.what) == "are" else "disagrees"
            yield f"{_capital(one.what)} {verb} with the atomistic: {one.size}."


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
        off = f"{number(100 * height, 1, sign=True)} % off (asked: within {percent(PEAK_HEIGHT)})"
        yield f"The height of the first {entry['pair']} peak is {off}."
    if shift is not None and abs(shift) > PEAK_SHIFT_NM:
        yield f"The first {entry['pair']} peak sits {number(shift, 4, sign=True)} nm off (asked: within {PEAK_SHIFT_NM} nm)."


def _temperature_concerns(summary: Summary) -> Iterable[str]:
    """T_conf that is not the thermostat's, or that has no value although the run got so far."""
    advice = {
        "t_conf": "positions and forces are not of one Boltzmann distribution, doubt the force map",
        "t_conf_cg": "its time step or its temperature is not right",
    }
    for key, what in T_CONF_OF.items():
        found: TemperatureFigures = getattr(summary, key)
        expected = thermostat(summary, key)
        if temperature_agrees(found, expected) is False:
            value = plus_minus(found.K, found.stderr_K, 1)
            yield f"{what} is {value} K at a thermostat of {expected:g} K: {advice[key]}."
        elif found.K is None and _is_reached(summary, key):
            yield f"{what} has no value: {found.reason or 'the reason is not known'}."
        ybg = found.ybg or {}
        if ybg.get("agrees") is False:
            chi2 = f"χ² per function {number(ybg['chi2_per_dof'], 1)} instead of about 1"
            yield f"The g-YBG residual of the {TESTED_FRAMES[key]} is more than noise ({chi2}): {advice[key]}."
    measured, stderr, expected = summary.cg_temperature_K, summary.cg_temperature_stderr_K, summary.cg_thermostat_K
    if measured and stderr and expected and KineticTemperature(measured, stderr, expected).is_suspect():
        yield (
            f"The kinetic temperature of the coarse-grained run is {plus_minus(measured, stderr, 1)} K at a thermostat of "
            f"{expected:g} K: its time step is too long, or its equilibration too short."
        )
    for row in _wrong_sets(summary):
        value = plus_minus(row["t_conf_K"], row.get("t_conf_stderr_K"), 1)
        at = f"at a thermostat of {summary.temperature_K:g} K"
        yield f"T_conf of the data set {row.get('data')} is {value} K {at}: {advice['t_conf']}."


def _wrong_sets(summary: Summary) -> list[dict[str, Any]]:
    """The further data sets whose T_conf is not that of the first set's thermostat."""
    return [
        row
        for row in summary.data_sets[1:]
        if temperature_agrees(TemperatureFigures(K=row["t_conf_K"], stderr_K=row["t_conf_stderr_K"]), summary.temperature_K)
        is False
    ]


def _state_concerns(summary: Summary) -> Iterable[str]:
    """A run at a temperature that is not that of the free energy, or in another state than the data."""
    data, run = summary.temperature_K, summary.cg_thermostat_K
    of, own = ("data", data) if summary.potential_temperature_K is None else ("potential", summary.potential_temperature_K)
    if own and run and abs(run - own) > SAME_TEMPERATURE:
        yield (
            f"The coarse-grained run is at {run:g} K, the {of} at {own:g} K: a potential of mean force is a free energy of "
            "one temperature, with its own entropy in it, so this is extrapolation."
        )
    elif data and run and abs(run - data) > SAME_TEMPERATURE:
        yield f"The coarse-grained run is at {run:g} K, the data at {data:g} K: two different states are compared."
    for row in summary.observables.get("density") or []:
        first, second = row["density_nm3_atomistic"], row["density_nm3_cg"]
        if abs(second - first) > SAME_DENSITY * first:
            found = f"{number(second, 3)} {row['type']} per nm³, the data {number(first, 3)}"
            yield f"The coarse-grained run has {found}: two different states are compared."


def _ion_concerns(summary: Summary) -> Iterable[str]:
    """A run at a temperature that is not the free energy's, holes between beads, charges that are not neutralised."""
    yield from _state_concerns(summary)
    for row in summary.dimers:
        if has_hole(row):
            where = (
                f"{number(row['lowest_inside_nm'], 3)} nm, inside the first sampled {number(row['first_sampled_nm'], 3)} nm"
            )
            yield (
                f"An isolated dimer {row['pair']} may collapse: at {where}, their energy is "
                f"{number(row['lowest_inside_kT'], 1, sign=True)} kT from that of the first sampled distance, where a wall "
                f"should be (asked: above {number(HOLE_KT, 0, sign=True)} kT)."
            )
    for row in (summary.observables.get("kirkwood_buff") or {}).get("electroneutrality") or []:
        for side, run in SIDES.items():
            if is_neutral(row, side) is False:
                found = plus_minus(row[f"sum_{side}"], row.get(f"sum_stderr_{side}"), 3)
                yield (
                    f"The charges around {row['type']} add up to {found} of its own in the {run} run, not to 1 as "
                    "they must whatever the model: it is too short, or its box too small, for Kirkwood-Buff integrals."
                )


def _drift_concerns(summary: Summary) -> Iterable[str]:
    """Averaged forces that still grow or shrink while the beads are held: the rest had not relaxed."""
    value, stderr = summary.label_drift, summary.label_drift_stderr
    if value is not None and stderr and abs(value) > DRIFT_SIGMAS * stderr:
        found = f"{number(100 * value, 1, sign=True)} ± {number(100 * stderr, 1)} %"
        yield f"The averaged forces change by {found} between the halves of the averaging time: the solvent had not relaxed."


def _error_concerns(summary: Summary) -> Iterable[str]:
    """Errors of runs that are too short for them: fewer than 20 blocks of two autocorrelation times."""
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
    """What the check of the data found wrong, or could not test, beside what `_temperature_concerns` says."""
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
    """Beginnings and figures of those reasons of the check that `_temperature_concerns` says of the data."""
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
    """Whether the run got so far that T_conf (`key` is t_conf or t_conf_cg) should have a value."""
    return bool(summary.rdf) or (key == "t_conf" and summary.r2_model is not None)


def _bond_concerns(summary: Summary) -> Iterable[str]:
    """Beads that look bonded in the data, which a model without bonds does not hold together."""
    if found := summary.undeclared_bonds:
        yield f"In the data {found['says']}."


def temperature_agrees(found: TemperatureFigures, expected: float | None) -> bool | None:
    """Whether T_conf is that of a thermostat (K) within 2 % or four standard errors; None where one is not known."""
    return None if found.K is None or not expected else bool(agrees(found.K, found.stderr_K or 0.0, expected))


def thermostat(summary: Summary, key: str) -> float | None:
    """The temperature (K) that T_conf (`key` is t_conf or t_conf_cg) should have: that of its own run."""
    return (summary.cg_thermostat_K if key == "t_conf_cg" else None) or summary.temperature_K


def peak_shift(entry: dict[str, Any]) -> float | None:
    """How far the first coarse-grained peak is from the atomistic one, nm."""
    atomistic, cg = entry.get("peak_r_nm_atomistic"), entry.get("peak_r_nm_cg")
    return None if atomistic is None or cg is None else cg - atomistic


def relative(reference: float | None, value: float | None) -> float | None:
    """(value - reference) / reference, where it exists."""
    return None if not reference or value is None else (value - reference) / reference
