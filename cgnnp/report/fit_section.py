"""The section of a page about the fit: its history, the force errors on held-out frames, and the priors."""

from collections.abc import Sequence
from typing import Any

from cgnnp.analysis.figures_fit import plot_history, plot_pair_residuals, plot_parity, plot_prior
from cgnnp.analysis.section import Picture, Section
from cgnnp.diagnostics.force_errors import ForceErrors
from cgnnp.report.summary import Summary
from cgnnp.runtime.formatting import number

IN_WORDS = ("screened_coulomb", "pair_spline")
"""Kinds of priors for which the page uses words instead of the name of the kind."""


def fit_section(
    summary: Summary,
    metrics: Sequence[dict[str, float]] = (),
    priors: Sequence[Any] | None = None,
    errors: ForceErrors | None = None,
) -> Section | None:
    """Return the section about the fit, or None if nothing is known about it.

    Args:
        summary: summary of the run.
        metrics: metrics of the fit, one row per epoch.
        priors: the prior potentials; None if they are not known.
        errors: errors of the forces on held-out frames.
    """
    pictures: list[Picture] = []
    if metrics:
        loss = (
            " and the training loss (dashed, right axis), which is 1 for a network that predicts zero forces"
            if _has_loss(metrics)
            else ""
        )
        caption = f"Top: R² on held-out frames after each epoch. Bottom: the learning rate (solid, left axis){loss}."
        pictures.append(
            Picture("history", "R² and learning rate per epoch", caption, lambda theme: plot_history(metrics, theme))
        )
    if errors is not None:
        said = (
            "Components of held-out forces: model against mapped forces. The colour counts the components. "
            f"{_noise(summary)}"
        )
        pictures.append(
            Picture("parity", "Forces of the model against mapped forces", said, lambda theme: plot_parity(errors, theme))
        )
        said = (
            "Mean residual force per pair at each distance, in which thermal noise averages out. It is zero where the pair "
            "forces of the model are right. Bands are two standard errors."
        )
        alt = "Residual force per pair against distance"
        pictures.append(Picture("pair_residuals", alt, said, lambda theme: plot_pair_residuals(errors, theme)))
    if priors and any(prior.kind == "pair_spline" for prior in priors):
        kelvin = summary.temperature_K or 300.0
        said = _of_the_prior(priors)
        pictures.append(
            Picture("prior", "Pair energies of the prior", said, lambda theme: plot_prior(priors, kelvin, theme))
        )
    return Section("The fit", pictures) if pictures else None


def priors_in_words(summary: Summary, priors: Sequence[Any] | None) -> str:
    """Return the names of the priors of a fit, as the beginning of a sentence.

    >>> priors_in_words(Summary(), [])
    'No prior'
    """
    kinds = ["pair_spline"] if priors is None else [prior.kind for prior in priors]
    words = [f"screened Coulomb (ε_r {summary.eps_r:g})"] if summary.eps_r is not None else []
    words += ["pair splines"] if "pair_spline" in kinds else []
    words += [kind.replace("_", " ") for kind in kinds if kind not in IN_WORDS]
    if not words:
        return "No prior"
    text = ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
    return text[0].upper() + text[1:]


def _noise(summary: Summary) -> str:
    """Return a sentence on the scatter that no model can explain. If R2_max is known, the sentence gives its size."""
    source = "thermal noise of the degrees of freedom that were left out, which no model can explain"
    if summary.r2_max is None:
        return f"Part of the scatter is {source}. How large this part is, is not known for this system."
    return f"A fraction 1 − R²_max = {number(1 - summary.r2_max, 3)} of the variance is {source}."


def _of_the_prior(priors: Sequence[Any]) -> str:
    others = [prior.kind.replace("_", " ") for prior in priors if prior.kind not in IN_WORDS]
    charged = any(prior.kind == "screened_coulomb" for prior in priors)
    beside = " in addition to the screened Coulomb energy, which is not drawn" if charged else ""
    what = (
        f"The pair splines, which were fitted together with {', '.join(others)} and have no meaning without these terms"
        if others
        else "The best pair potential"
    )
    return f"{what}{beside}. Below the first sampled distance (shaded), the energy continues as a repulsive wall."


def _has_loss(metrics: Sequence[dict[str, float]]) -> bool:
    return any("loss" in row for row in metrics)
