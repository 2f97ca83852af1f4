"""The headline of the report if there is no comparison, and the concerns about a fit that a report lists."""

from collections.abc import Iterable, Sequence

from cgnnp.report.summary import Summary
from cgnnp.runtime.formatting import number, plus_minus

STILL_RISING = 0.001
"""The last epoch is a concern if it raised R2 by more than the standard error of the gain, or by this if it is unknown."""

DRIFT_SIGMAS = 4
"""A drift of averaged forces is a concern if it is larger than this many standard errors."""


def fit_headline(summary: Summary) -> str:
    """Return the headline of a fit that was not compared with the atomistic simulation."""
    model, prior = summary.r2_model, summary.r2_prior
    if model is None:
        return "Nothing has been compared with the atomistic simulation yet."
    reached = f"R² of the held-out forces is {model:.3f}"
    if prior is None:
        text = f"The potential is fitted: {reached}"
    elif model > prior:
        text = f"The network improves on its prior: {reached}, {prior:.3f} without it"
    else:
        text = f"The potential is fitted: {reached}, {prior:.3f} without its network"
    return f"{text}. It has not been compared with the atomistic simulation yet."


def network_concerns(summary: Summary) -> Iterable[str]:
    """Yield a concern if the network does not raise R2 on held-out frames, so that the priors alone are as good."""
    model, prior = summary.r2_model, summary.r2_prior
    if model is not None and prior is not None and model <= prior and summary.n_parameters != 0:
        change = plus_minus(model - prior, summary.r2_gain_stderr, 4)
        yield (
            f"The network does not improve on its prior: R² of the held-out forces is {number(model, 3)} with the network "
            f"and {number(prior, 3)} without it (change {change}). More frames or another network may help."
        )


def drift_concerns(summary: Summary) -> Iterable[str]:
    """Yield a concern if averaged forces still change during the averaging time, so that the solvent had not relaxed."""
    value, stderr = summary.label_drift, summary.label_drift_stderr
    if value is not None and stderr and abs(value) > DRIFT_SIGMAS * stderr:
        found = f"{number(100 * value, 1, sign=True)} ± {number(100 * stderr, 1)} %"
        yield f"The averaged forces change by {found} between the halves of the averaging time: the solvent had not relaxed."


def epoch_concerns(summary: Summary, metrics: Sequence[dict[str, float]]) -> Iterable[str]:
    """Yield a concern if the last epoch of a fit was its best and raised R2 by more than the standard error of the gain."""
    r2 = [row["r2"] for row in metrics if row.get("r2") is not None]
    if len(r2) < 2 or (gain := r2[-1] - max(r2[:-1])) <= (summary.r2_gain_stderr or STILL_RISING):
        return
    yield (
        f"R² was still rising at the last of {len(r2)} epochs, by {number(gain, 4)}: raise trainer.max_epochs to see "
        "how far it rises."
    )
