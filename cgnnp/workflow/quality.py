"""What the summary says of how good a fit is: R2 beside the ceiling that belongs to it, errors free of noise."""

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
from cgnnp.frames.frames import Frames, FramesMeta
from cgnnp.statistics import Estimate
from cgnnp.training.metrics import FitQuality


def check_draws(draws: Frames, meta: FramesMeta) -> None:
    """Refuse a data set that cannot say what the noise floor of other frames is.

    Args:
        draws: frames with second draws.
        meta: of the frames to fit.

    Raises:
        ValueError: of another mapping, temperature or system, or without second draws.
    """
    source = ", ".join(draws.sources)
    if draws.mapping.digest != meta.mapping.digest:
        names = f"'{draws.mapping.name}', the frames to fit are of '{meta.mapping.name}'"
        raise ValueError(f"draws={source}: of mapping {names}: sample with the same")
    if draws.temperature != meta.temperature:
        kelvin = f"{draws.temperature:g} K, the frames to fit are at {meta.temperature:g} K"
        raise ValueError(f"draws={source}: at {kelvin}: sample at the same")
    found, system_digest = draws.meta.provenance.get("system_digest"), meta.provenance.get("system_digest")
    if None not in (found, system_digest) and found != system_digest:
        raise ValueError(
            f"draws={source}: of another system than the frames to fit: make them with the same system settings"
        )
    noise_floor(draws)


def quality_rows(quality: FitQuality) -> dict[str, Any]:
    """R2 of prior and model on the held-out frames."""
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


def set_quality(quality: FitQuality) -> dict[str, float]:
    """R2 on the held-out frames of one of several data sets."""
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
    """What second draws tell of the fit; null where there are none.

    `r2_max` is the ceiling of `r2_model`, both against the forces that were fitted. Where those are averages,
    `r2_instantaneous` and `r2_max_instantaneous` are the same two figures against single forces, which models can be
    compared by whatever they were fitted to. The PMF error is of frames that were not fitted: `draws`, or the held-out ones.

    Args:
        frames: all frames, for the ceiling, which does not depend on the model.
        validation: the held-out ones among them.
        model_forces: of prior and network on those.
        r2_model: on those.
        draws: another data set with second draws, for frames without.
        forces_on: forces of prior and network on other frames.
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
    """The ceiling of the forces that were fitted, and how much of it the model reaches."""
    ceiling = None if floor is None else (floor.r2_label if averaged else floor.r2_max)
    rows = _pair("r2_max", ceiling)
    share: dict[str, Any] = {"r2_over_r2_max": None, "r2_over_r2_max_stderr": None}
    if ceiling is not None and ceiling.value > 0:
        model, top = float(r2_model.value), float(ceiling.value)
        error = np.hypot(float(r2_model.stderr) / top, model * float(ceiling.stderr) / top**2)
        share = {"r2_over_r2_max": model / top, "r2_over_r2_max_stderr": float(error)}
    return rows | share


def _error_rows(error: UnbiasedError | None) -> dict[str, Any]:
    """The distance from the mean force."""
    rms: dict[str, Any] = {"pmf_error_kJ_mol_nm": None, "pmf_error_stderr_kJ_mol_nm": None}
    if error is not None:
        rms = {"pmf_error_kJ_mol_nm": error.rms, "pmf_error_stderr_kJ_mol_nm": error.rms_stderr}
    return {
        **rms,
        **_pair("pmf_error_relative", None if error is None else error.relative),
        "n_second_draws": 0 if error is None else error.n_draws,
    }


def _pair(key: str, estimate: Estimate | None) -> dict[str, Any]:
    """A figure and its error."""
    value, stderr = (None, None) if estimate is None else (float(estimate.value), float(estimate.stderr))
    return {key: value, f"{key}_stderr": stderr}
