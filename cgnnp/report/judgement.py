"""Judge a summary in words: whether the model has the atomistic structure, and what needs the reader's attention.

Every judgement is computed from the numbers in the summary. The thresholds are choices of this package.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cgnnp.analysis.agreement import LEVELS, SEVERITY, Agreement, Judgement, worst_of
from cgnnp.analysis.observables.density import SAME as SAME_DENSITY
from cgnnp.analysis.observables.dimers import HOLE_KT, has_hole
from cgnnp.analysis.observables.kirkwood_buff import is_neutral
from cgnnp.analysis.observables.observable import SIDES
from cgnnp.diagnostics.configurational_temperature import RESOLVED, T_CONF_DISAGREES, T_CONF_OPEN, in_a_word
from cgnnp.diagnostics.kinetic_temperature import KineticTemperature
from cgnnp.diagnostics.soundness import DISAGREES, NOT_TESTED
from cgnnp.report.fit_concerns import drift_concerns, epoch_concerns, fit_headline, network_concerns
from cgnnp.report.summary import Summary, TemperatureFigures
from cgnnp.runtime.formatting import UNKNOWN, number, percent, plus_minus
from cgnnp.units import SAME_TEMPERATURE

PEAK_HEIGHT, PEAK_SHIFT_NM = 0.04, 0.004
"""First peaks agree if their heights differ by at most this fraction, and their positions by at most this length (nm)."""

LOOK_CLOSER, NOT_COMPARED = "look closer", "not compared"
"""Labels at the top of a page: if g(r) agrees but there are concerns, and if g(r) was not compared."""

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


def judge(summary: Summary, metrics: Sequence[dict[str, float]] = ()) -> Verdict:
    """Judge whether the coarse-grained model has the atomistic structure.

    The judgement comes from g(r) and the other compared quantities. If there are any concerns, the level is at best fair.

    Args:
        summary: summary of the run.
        metrics: metrics of the fit, one row per epoch.
    """
    rdf = summary.rdf
    concerns = [text for entry in rdf for text in _peak_concerns(entry)]
    concerns += [*_other_concerns(summary), *_temperature_concerns(summary), *_ion_concerns(summary)]
    concerns += [*network_concerns(summary), *drift_concerns(summary), *_error_concerns(summary)]
    concerns += [*_data_check_concerns(summary), *_bond_concerns(summary), *epoch_concerns(summary, metrics)]
    row, system = worst_row(summary), summary.system or "the atomistic system"
    told = [one for one in _others(summary) if one.agreement is not Agreement.OPEN]
    if row is None:
        return _without_rdf(summary, worst_of(told or _others(summary)), system, concerns)
    worst = judgement_of(row)
    verdict = max((worst, *told), key=lambda one: SEVERITY.index(one.agreement)).agreement
    level, label = LEVELS[verdict], str(verdict)
    if level == "good" and concerns:
        level, label = "fair", LOOK_CLOSER
    size = f"{_named_deviation(summary, row)} is {percent(worst.deviation)}, where noise alone would give about"
    text = f"{SENTENCES[worst.agreement].format(system=system, deviation=worst.size)}. {size} {percent(worst.noise)}."
    if worst.agreement is Agreement.OPEN and (wrong := _that_disagree(summary)):
        # The label says that the model disagrees, so the headline begins with the quantities that disagree.
        headline = f"{_capital(wrong)} with {system}. {text}"
    else:
        headline = f"{text}{_also(summary, worst.agreement)}"
    return Verdict(level, headline, concerns, label)


def _named_deviation(summary: Summary, row: dict[str, Any]) -> str:
    """Return a phrase that names D, with its range, and with the pair if there are several pairs."""
    reach = number(row.get("r_max_nm"), 2)
    which = "D" if reach == UNKNOWN else f"D up to {reach} nm"
    return which if len(summary.rdf) == 1 else f"{which} of the worst of {len(summary.rdf)} pairs, {row['pair']},"


def _without_rdf(summary: Summary, worst: Judgement | None, system: str, concerns: list[str]) -> Verdict:
    """Return the verdict from the other quantities if g(r) was not compared."""
    if worst is None:
        return Verdict("open", fit_headline(summary), concerns, NOT_COMPARED)
    told = worst.agreement is not Agreement.OPEN
    what = f"{_capital(worst.what)} compared with {system}: {worst.in_words}" if told else "The runs are too short to tell"
    return Verdict(LEVELS[worst.agreement], f"{what}. The g(r) was not compared.", concerns, str(worst.agreement))


def judgement_of(row: dict[str, Any]) -> Judgement:
    """Return the judgement of one kind of pair from its row of g(r)."""
    noise = row["residual"].get("expected_deviation")
    noise = np.nan if noise is None else noise
    return Judgement(f"g(r) of {row['pair']}", Agreement(row["verdict"]), row["deviation"], noise)


def worst_row(summary: Summary) -> dict[str, Any] | None:
    """Return the row of the pair whose g(r) has the worst judgement, which decides the verdict; None without g(r)."""
    known = [row for row in summary.rdf if number(row.get("deviation")) != UNKNOWN]
    worst = worst_of([judgement_of(row) for row in known])
    return next((row for row in known if worst is not None and judgement_of(row) == worst), None)


def _others(summary: Summary) -> list[Judgement]:
    """Return the judgements of quantities other than g(r)."""
    found = [Judgement.from_dict(row) for row in summary.judgements]
    return [one for one in found if not one.what.startswith("g(r)")]


def _that_disagree(summary: Summary) -> str:
    """Return a clause that names up to two of the other quantities that disagree; empty if there are none."""
    wrong = [one for one in _others(summary) if one.agreement is Agreement.DISAGREES]
    if not wrong:
        return ""
    many = len(wrong) > 1 or _is(wrong[0].what) == "are"
    return f"{' and '.join(one.what for one in wrong[:2])} {'disagree' if many else 'disagrees'}"


def _also(summary: Summary, of_rdf: Agreement) -> str:
    """Return the sentence that follows a sentence on g(r): it names other quantities that disagree, or else that agree.

    Args:
        summary: summary of the run.
        of_rdf: judgement of g(r) in the sentence before.
    """
    if wrong := _that_disagree(summary):
        names, _, verb = wrong.rpartition(" ")
        also = f"So {'do' if verb == 'disagree' else 'does'} {names}" if of_rdf is Agreement.DISAGREES else f"But {wrong}"
        return f" {also}."
    agree = [one.what for one in _others(summary) if one.agreement is Agreement.AGREES]
    if not 0 < len(agree) <= 2 or any(row.get("verdict") != Agreement.AGREES for row in summary.rdf):
        return ""
    return f" So {'do' if len(agree) > 1 or _is(agree[0]) == 'are' else 'does'} {' and '.join(agree)}."


def _other_concerns(summary: Summary) -> Iterable[str]:
    """Yield a concern for each quantity other than g(r) that is close or disagrees.

    Quantities for which the runs are too short are no concerns; the sections of the page report them.
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


def _peak_concerns(entry: dict[str, Any]) -> Iterable[str]:
    """Yield concerns about the first peak of a pair, unless the runs are too short to tell a deviation from noise."""
    if entry.get("verdict") == str(Agreement.OPEN):
        return
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
        word = temperature_word(found.K, found.stderr_K, expected)
        if word == T_CONF_DISAGREES:
            value = plus_minus(found.K, found.stderr_K, 1)
            yield f"{what} is {value} K at a thermostat of {expected:g} K: {advice[key]}."
        elif word == T_CONF_OPEN:
            value = plus_minus(found.K, found.stderr_K, 1)
            yield (
                f"{what} is {value} K at a thermostat of {expected:g} K: the run is too short to tell whether they agree "
                f"(they do if the value and two standard errors on both sides are within {percent(RESOLVED)})."
            )
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
        if temperature_word(row["t_conf_K"], row["t_conf_stderr_K"], summary.temperature_K) == T_CONF_DISAGREES
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
                f"An isolated dimer {row['pair']} may collapse: at {where}, its energy minus that at the latter is "
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


def _error_concerns(summary: Summary) -> Iterable[str]:
    """Yield concerns about errors from runs that are too short: fewer than 20 blocks of two autocorrelation times."""
    runs = [(summary.r2_reliable, "R²", "held-out part of the atomistic run")]
    for key, run in (("t_conf", "atomistic run"), ("t_conf_cg", "coarse-grained run")):
        found: TemperatureFigures = getattr(summary, key)
        if temperature_word(found.K, found.stderr_K, thermostat(summary, key)) != T_CONF_OPEN:
            runs.append((found.reliable, T_CONF_OF[key], run))
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
    """Yield what the check of the data found wrong or could not test, except what `_temperature_concerns` already says."""
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
    """Return how those reasons of the data check begin, and a text they contain, that `_temperature_concerns` reports."""
    found, first = summary.t_conf, {"t_conf_K": summary.t_conf.K, "t_conf_stderr_K": summary.t_conf.stderr_K}
    word = temperature_word(found.K, found.stderr_K, summary.temperature_K)
    wrong = [first] * (word == T_CONF_DISAGREES) + _wrong_sets(summary)
    said = [("T_conf ", f": {row['t_conf_K']:.1f}({row.get('t_conf_stderr_K') or 0.0:.1f}) K, but") for row in wrong]
    if word == T_CONF_OPEN:
        said.append(("T_conf ", f": {found.K:.1f}({found.stderr_K or 0.0:.1f}) K: the run is {T_CONF_OPEN}"))
    if found.K is None and _is_reached(summary, "t_conf"):
        said.append((f"T_conf: {str(found.reason).rstrip('.')}", ""))
    ybg = found.ybg or {}
    if ybg.get("agrees") is False:
        said.append(("g-YBG residual: ", f" {ybg['chi2_per_dof']:.2f} of {ybg.get('dof')} functions"))
    return said


def _is_reached(summary: Summary, key: str) -> bool:
    """Return whether there is a reason why T_conf has no value, and the run got beyond the check of the data.

    `key` is t_conf (mapped data) or t_conf_cg (coarse-grained run).
    """
    figures: TemperatureFigures = getattr(summary, key)
    return figures.reason is not None and (key == "t_conf_cg" or bool(summary.rdf) or summary.r2_model is not None)


def _bond_concerns(summary: Summary) -> Iterable[str]:
    """Yield a concern if beads look bonded in the data: a model without bonds does not hold them together."""
    if found := summary.undeclared_bonds:
        yield f"In the data {found['says']}."


def temperature_word(value: float | None, stderr: float | None, expected: float | None) -> str | None:
    """Compare T_conf (value and error, K) with a thermostat temperature (K): agrees, disagrees, or too short to tell.

    The result is None if T_conf or the thermostat temperature is not known.
    """
    return None if value is None or not expected else in_a_word(value, stderr, expected)


def thermostat(summary: Summary, key: str) -> float | None:
    """Return the thermostat temperature (K) of the mapped data (`key` is t_conf) or the coarse-grained run (t_conf_cg)."""
    return (summary.cg_thermostat_K if key == "t_conf_cg" else None) or summary.temperature_K


def peak_shift(entry: dict[str, Any]) -> float | None:
    """Return the position of the first coarse-grained peak minus that of the first atomistic peak, in nm."""
    atomistic, cg = entry.get("peak_r_nm_atomistic"), entry.get("peak_r_nm_cg")
    return None if atomistic is None or cg is None else cg - atomistic


def relative(reference: float | None, value: float | None) -> float | None:
    """Return (value - reference) / reference, or None if it cannot be computed."""
    return None if not reference or value is None else (value - reference) / reference
