"""The quality of a fit, for the summary: R2, the largest R2 that is possible, and errors free of noise."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.diagnostics.noise_floor import (
    NoiseFloor,
    UnbiasedError,
    drift,
    instantaneous_r2,
    noise_floor,
    second_draws,
    unbiased_error,
)
from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.statistics import Estimate
from cgnnp.training.metrics import FitQuality

log = logging.getLogger("cgnnp")

WORSE_BY = 0.001
"""Warn when the network lowers R2 by more than this and by more than two standard errors."""


def check_draws(draws: Frames, meta: FramesMeta) -> None:
    """Check that a data set with second draws can give the noise floor of the frames to fit.

    Args:
        draws: frames with second draws.
        meta: metadata of the frames to fit.

    Raises:
        ValueError: `draws` have another mapping, temperature or system than the frames to fit, or no second draws.
    """
    source = ", ".join(draws.sources)
    if draws.mapping.digest != meta.mapping.digest:
        names = f"'{draws.mapping.name}', but that of the frames to fit is '{meta.mapping.name}'"
        raise ValueError(f"draws={source}: the mapping is {names}: sample second draws with the same mapping")
    if draws.temperature != meta.temperature:
        kelvin = f"{draws.temperature:g} K, but that of the frames to fit is {meta.temperature:g} K"
        raise ValueError(f"draws={source}: the temperature is {kelvin}: sample second draws at the same temperature")
    found, system_digest = draws.meta.provenance.get("system_digest"), meta.provenance.get("system_digest")
    if None not in (found, system_digest) and found != system_digest:
        raise ValueError(
            f"draws={source}: the draws are from another system than the frames to fit: sample second draws with the same "
            "system settings"
        )
    noise_floor(draws)


def quality_rows(quality: FitQuality) -> dict[str, Any]:
    """Return the force errors and R2 of priors and model on the held-out frames, by their names in the summary."""
    return {
        "force_rms_kJ_mol_nm": quality.force_rms,
        "force_rmse_kJ_mol_nm": quality.force_rmse,
        "r2_prior": quality.r2_prior.value,
        "r2_prior_stderr": quality.r2_prior.stderr,
        "r2_model": quality.r2_model.value,
        "r2_stderr": quality.r2_model.stderr,
        "r2_tau_frames": quality.r2_model.tau_frames,
        "r2_reliable": quality.r2_model.reliable,
        "r2_gain": quality.gain.value,
        "r2_gain_stderr": quality.gain.stderr,
    }


def doubt(reliable: bool | None, n_frames: int | None) -> str:
    """Return a remark that follows R2 and its error if the error is not reliable; empty if it is, or if this is not known.

    >>> doubt(False, 30)
    ' (error not reliable: only 30 held-out frames)'
    """
    return f" (error not reliable: only {n_frames} held-out frames)" if reliable is False else ""


def log_quality(quality: FitQuality, n_held_out: int) -> None:
    """Log R2 of priors and network on held-out frames, and warn if the network does not improve on the priors."""
    log.info(
        "fit: R2 of the priors %.4f(%.4f), of priors and network %.4f(%.4f), gain %.4f(%.4f), on %d held-out frames",
        *(quality.r2_prior.value, quality.r2_prior.stderr, quality.r2_model.value, quality.r2_model.stderr),
        *(quality.gain.value, quality.gain.stderr, n_held_out),
    )
    if quality.gain.value < -max(WORSE_BY, 2 * quality.gain.stderr):
        log.warning(
            "fit: priors and network together are worse than the priors alone: try another network, more frames or a lower "
            "learning_rate, or set energy_bound_kJ_mol"
        )
    elif quality.gain.value <= 0:
        log.warning(
            "fit: the network does not improve on its prior (within its error): more frames or another network may help"
        )


def set_quality(quality: FitQuality) -> dict[str, float]:
    """Return R2 of priors and model on the held-out frames of one of several data sets, by names in the summary."""
    rows = quality_rows(quality)
    return {key: rows[key] for key in ("r2_prior", "r2_model", "r2_stderr")}


def noise_rows(
    frames: Frames,
    validation: Frames,
    model_forces: Float[np.ndarray, "held_out beads 3"],
    r2_model: Estimate,
    draws: Frames | None,
    forces_on: Callable[[Frames], np.ndarray],
) -> dict[str, Any]:
    """Return the results that come from second draws, by their names in the summary; each is None without second draws.

    `r2_max` is the largest possible `r2_model`, both with respect to the forces that were fitted. If these are averages,
    `r2_instantaneous` and `r2_max_instantaneous` are the same two values with respect to instantaneous forces. They allow a
    comparison of models that were fitted to different kinds of forces. The PMF error is computed on frames that were not
    fitted: `draws` if they are given, else the held-out frames.

    Args:
        frames: all frames, which give `r2_max`. It does not depend on the model.
        validation: the held-out frames among `frames`.
        model_forces: forces of priors and network on the held-out frames, kJ/mol/nm.
        r2_model: R2 of the model on the held-out frames.
        draws: another data set with second draws; None if there is none.
        forces_on: function that returns the forces of priors and network on any frames.
    """
    averaged = frames.labels is not None
    own, other = second_draws(frames), None if draws is None else second_draws(draws)
    chosen = other if own is None else own
    floor = None if chosen is None else noise_floor(chosen)
    same = chosen is not None and (not averaged or chosen.meta.averaging_ps == frames.meta.averaging_ps)
    rows: dict[str, Any] = {"averaging_ps": frames.meta.averaging_ps}
    rows |= _ceiling_rows(floor if same else None, averaged, r2_model)
    rows |= _pair("r2_instantaneous", instantaneous_r2(validation, model_forces) if averaged else r2_model)
    rows |= _pair("r2_max_instantaneous", None if floor is None else floor.r2_max)
    rows |= _pair("label_drift", drift(frames) if averaged else None)
    error = None
    if other is not None:
        error = unbiased_error(other, forces_on(other))
    elif second_draws(validation) is not None:
        error = unbiased_error(validation, model_forces)
    return rows | _error_rows(error)


def _ceiling_rows(floor: NoiseFloor | None, averaged: bool, r2_model: Estimate) -> dict[str, Any]:
    """Return the largest possible R2 for the forces that were fitted, and R2 of the model divided by it."""
    ceiling = None if floor is None else (floor.r2_label if averaged else floor.r2_max)
    rows = _pair("r2_max", ceiling)
    share: dict[str, Any] = {"r2_over_r2_max": None, "r2_over_r2_max_stderr": None}
    if ceiling is not None and ceiling.value > 0:
        model, top = float(r2_model.value), float(ceiling.value)
        error = np.hypot(float(r2_model.stderr) / top, model * float(ceiling.stderr) / top**2)
        share = {"r2_over_r2_max": model / top, "r2_over_r2_max_stderr": float(error)}
    return rows | share


def _error_rows(error: UnbiasedError | None) -> dict[str, Any]:
    """Return the errors of the model with respect to the mean force, by their names in the summary."""
    rms: dict[str, Any] = {"pmf_error_kJ_mol_nm": None, "pmf_error_stderr_kJ_mol_nm": None}
    if error is not None:
        rms = {"pmf_error_kJ_mol_nm": error.rms, "pmf_error_stderr_kJ_mol_nm": error.rms_stderr}
    return {
        **rms,
        **_pair("pmf_error_relative", None if error is None else error.relative),
        "n_second_draws": 0 if error is None else error.n_draws,
    }


def _pair(key: str, estimate: Estimate | None) -> dict[str, Any]:
    """Return an estimate and its standard error under the names `key` and `<key>_stderr`."""
    value, stderr = (None, None) if estimate is None else (float(estimate.value), float(estimate.stderr))
    return {key: value, f"{key}_stderr": stderr}
