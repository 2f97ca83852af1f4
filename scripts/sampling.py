"""Data sets that several scripts fit to."""

from pathlib import Path
from typing import Any

import cgnnp


def water_data(work: Path, n_frames: int) -> Path:
    """One-bead water as the main job samples it; what is there is not sampled again."""
    return folder_of(
        cgnnp.sample_frames("water_spce", "water_cg", n_frames=n_frames, data_dir=work / "data", platform="CPU")
    )


def ion_data(work: Path, n_frames: int, equilibration_ps: float | None = None, **system: float) -> Path:
    """Ions of sodium chloride at 4 mol/L in SPC/E water."""
    salt = cgnnp.option("system", "electrolyte", **system)
    wait = {} if equilibration_ps is None else {"equilibration_ps": equilibration_ps}
    how: dict[str, Any] = {"n_frames": n_frames, "data_dir": work / "data", "platform": "CPU", **wait}
    return folder_of(cgnnp.sample_frames(salt, "ions", reference="langevin_dense", **how))


def folder_of(frames: cgnnp.Frames) -> Path:
    """The data set of frames; each of its folders is a replica."""
    return Path(frames.sources[0]).parent
