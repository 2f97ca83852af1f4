"""The picture of time steps: temperatures and drift against the step."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cgnnp.analysis.figures import LIGHT, Theme, legend, new_figure, styled
from cgnnp.workflow.potential_check.integration import MOST_DRIFT, StepFigures


def plot_time_steps(steps: Sequence[StepFigures], temperature: float, usual_fs: float, theme: Theme = LIGHT) -> Figure:
    """Kinetic and configurational temperature, and the drift at constant energy, with bars of two standard errors.

    Args:
        steps: those that have figures.
        temperature: of the thermostat, K.
        usual_fs: the usual time step, which is marked.
        theme: colours.
    """
    figure = new_figure(10.4, 3.9, theme)
    left, right = (styled(axes, theme) for axes in figure.subplots(1, 2))
    times = np.array([step.timestep_fs for step in steps])
    series = (
        (left, "kinetic", theme.others[0], "t_kin_K", "t_kin_stderr_K"),
        (left, "configurational", theme.model, "t_conf_K", "t_conf_stderr_K"),
        (right, "drift", theme.model, "drift_percent", "drift_stderr_percent"),
    )
    for axes, label, colour, name, error in series:
        values, errors = (np.array([getattr(step, key) for step in steps], dtype=float) for key in (name, error))
        bars = axes.errorbar(times, values, yerr=2 * errors, label=label, color=colour, marker="o", capsize=3)
        bars[0].set(markersize=5, linewidth=1.5)
    left.axhline(temperature, color=theme.muted, linewidth=0.9, linestyle=":", label="thermostat")
    right.axhspan(-MOST_DRIFT, MOST_DRIFT, color=theme.muted, alpha=0.2, linewidth=0, label=f"within {MOST_DRIFT:g} %")
    for axes in (left, right):
        axes.axvline(usual_fs, color=theme.ink, linewidth=0.9, linestyle="--", label="usual step")
        axes.set_xlabel("time step (fs)")
        legend(axes, theme, loc="best", fontsize=8)
    right.set_yscale("symlog", linthresh=MOST_DRIFT)  # beyond a sound step it grows by orders of magnitude
    left.set_ylabel("temperature (K)")
    right.set_ylabel("NVE drift in 20 ps (% of kinetic energy)")
    return figure
