"""Ranges of numeric settings by name. Settings with the same name in two groups have the same range.

With a setting outside its range, a computation would not finish or would fill the memory. The ranges are choices of this
package, at least ten times wider than any known use. Imports the standard library only.
"""

import math
from typing import Any

from cgnnp.runtime.errors import SettingError

LARGEST_SEED = 2**63 - 1
"""Largest seed that torch accepts. OpenMM's seeds are derived from it."""

RANGES: dict[str, tuple[float, float]] = {
    # settings of systems
    "n_molecules": (1, 1e6),
    "n_pairs": (1, 1e6),
    "n_water": (1, 1e6),
    "density_g_mL": (1e-6, 30.0),
    "concentration_M": (1e-6, 100.0),
    "box_nm": (0.1, 1000.0),
    "cutoff_nm": (0.01, 10.0),
    "eps_r": (1e-3, 1e6),
    "eps_r_stderr": (0.0, 1e6),
    # settings of protocols
    "temperature_K": (1e-3, 1e5),
    "timestep_fs": (1e-4, 1000.0),
    "friction_per_ps": (1e-4, 1e5),
    "equilibration_ps": (1e-6, 1e6),
    "frame_interval_ps": (1e-6, 1e5),
    "interval_ps": (1e-6, 1e9),
    "averaging_ps": (1e-6, 1e5),
    "force_interval_fs": (1e-4, 1e6),
    "separation_ps": (1e-6, 1e5),
    "second_every": (1, 1e8),
    "length_ps": (1e-6, 1e9),
    "drift_ps": (1e-6, 1e6),
    "steps_fs": (1e-4, 1000.0),
    "n_frames": (1, 1e8),
    "stride": (1, 1e8),
    "replica": (0, 1e5),
    "replicas": (1, 1000),
    "chunk_frames": (1, 1e5),
    # settings of pair splines
    "knot_spacing_nm": (1e-3, 1.0),
    "max_frames": (1, 1e7),
    "min_count": (1, 1e8),
    "smoothing": (1e-30, 1e12),
    "ridge": (1e-30, 1e3),
    "wall_kT": (0.1, 1e4),
    "steps": (1, 100),
    # settings of networks and fits
    "layers": (1, 20),
    "features": (1, 512),
    "scalars": (1, 2048),
    "hidden": (1, 2048),
    "radial_hidden": (1, 2048),
    "radial_basis": (1, 128),
    "knots": (1, 10_000),
    "inner_width_nm": (1e-4, 1.0),
    "energy_bound_kJ_mol": (1e-6, math.inf),
    "max_epochs": (1, 1e6),
    "batch_size": (1, math.inf),
    "learning_rate": (1e-12, 10.0),
    "gradient_clip": (1e-12, 1e12),
    "patience": (1, 1e6),
    "seed": (0, LARGEST_SEED),
}
"""Lowest and highest value of each setting. Small whole numbers such as `l_max` and `correlation` are checked elsewhere."""

POSITIVE = {"cutoff_nm", "density_g_mL", "box_nm", "temperature_K", "timestep_fs", "frame_interval_ps", "stride"}
"""Settings for which `check_range` also refuses zero and negative values.

For the other settings, the code that uses them does this, with a more specific message.
"""


def check_range(group: str, name: str, value: Any) -> None:
    """Refuse a number, or a list with a number, that is outside the range of the setting with this name.

    >>> check_range("model", "layers", 3)
    >>> check_range("model", "layers", 1000)
    Traceback (most recent call last):
    cgnnp.runtime.errors.SettingError: layers=1000: must be 1 to 20 (a limit of cgnnp: beyond it no computation finishes)

    Raises:
        SettingError: a number is out of range. The message names the setting, the value and the range.
    """
    if name not in RANGES:
        return
    low, high = RANGES[name]
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, bool) or not isinstance(one, int | float) or math.isnan(one):
            continue
        if name == "seed":
            if not 0 <= one <= high:
                raise SettingError(group, f"{name}={value}: must be a whole number, 0 to {high}")
        elif one <= 0 and name in POSITIVE:
            raise SettingError(group, f"{name}={value}: must be positive, {low:g} to {high:g}")
        elif one > high or 0 < one < low:
            within = f"{low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
            raise SettingError(
                group, f"{name}={value}: must be {within} (a limit of cgnnp: beyond it no computation finishes)"
            )
