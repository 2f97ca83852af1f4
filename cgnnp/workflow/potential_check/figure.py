"""The picture of the time steps: temperatures and energy drift against the time step."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgnnp.analysis.figures import LIGHT, Theme, legend, panel_grid
from cgnnp.simulation.short_run import MOST_DRIFT, MOST_NVE_DRIFT
from cgnnp.workflow.potential_check.integration import UNIT, StepFigures


class TimeSteps:
    """Draws temperatures and energy drift against the time step, with error bars of two standard errors.

    Args:
        steps: temperatures and drift at the time steps that were measured.
        temperature: temperature of the thermostat, K.
        usual_fs: usual time step, which is marked, fs.
    """

    def __init__(self, steps: Sequence[StepFigures], temperature: float, usual_fs: float) -> None:
        self.steps, self.temperature, self.usual_fs = steps, temperature, usual_fs

    def both(self, theme: Theme = LIGHT) -> Figure:
        """Draw temperatures and drift side by side."""
        figure, ((left,), (right,)) = panel_grid(2, theme)
        self._temperatures(left, theme)
        self._drift(right, theme)
        return figure

    def temperatures(self, theme: Theme = LIGHT) -> Figure:
        """Draw the kinetic and the configurational temperature."""
        figure, ((axes,),) = panel_grid(1, theme)
        self._temperatures(axes, theme)
        return figure

    def drift(self, theme: Theme = LIGHT) -> Figure:
        """Draw the drift at constant energy. Its axis is linear up to the limit at constant energy and logarithmic above."""
        figure, ((axes,),) = panel_grid(1, theme)
        self._drift(axes, theme)
        return figure

    def _temperatures(self, axes: Axes, theme: Theme) -> None:
        self._bars(axes, "kinetic", theme.others[0], "t_kin_K", "t_kin_stderr_K")
        self._bars(axes, "configurational", theme.model, "t_conf_K", "t_conf_stderr_K")
        axes.axhline(self.temperature, color=theme.muted, linewidth=0.9, linestyle=":", label="thermostat")
        self._dressed(axes, "temperature (K)", theme)

    def _drift(self, axes: Axes, theme: Theme) -> None:
        self._bars(axes, "drift", theme.model, "drift_percent", "drift_stderr_percent")
        limits = ((MOST_DRIFT, 0.15, "limit with a thermostat"), (MOST_NVE_DRIFT, 0.3, "limit at constant energy"))
        for most, alpha, label in limits:
            axes.axhspan(-most, most, color=theme.muted, alpha=alpha, linewidth=0, label=f"{label}, {most:g} %")
        axes.set_yscale("symlog", linthresh=MOST_NVE_DRIFT)
        self._dressed(axes, f"NVE drift / kinetic energy ({UNIT})", theme)

    def _bars(self, axes: Axes, label: str, colour: str, name: str, error: str) -> None:
        times = [step.timestep_fs for step in self.steps]
        values, errors = (np.array([getattr(step, key) for step in self.steps], dtype=float) for key in (name, error))
        bars = axes.errorbar(times, values, yerr=2 * errors, label=label, color=colour, marker="o", capsize=3)
        bars[0].set(markersize=5, linewidth=1.5)

    def _dressed(self, axes: Axes, label: str, theme: Theme) -> None:
        axes.axvline(self.usual_fs, color=theme.ink, linewidth=0.9, linestyle="--", label="usual step")
        axes.set_xlabel("time step (fs)")
        axes.set_ylabel(label)
        legend(axes, theme, loc="best", fontsize=8)
