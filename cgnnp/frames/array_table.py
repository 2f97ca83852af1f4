"""The one table of what frames hold: name, shape, type, unit. It drives writing, reading, slicing, joining and checking.

An array that frames may have is one entry here; attributes of frames, data sets on disk and messages follow. numpy only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgnnp.frames.boxes import check_boxes
from cgnnp.frames.joined_array import Array, JoinedArray

BEADS = "beads"
"""Stands for the number of beads in shapes."""

REAL_NUMBERS = "fiu"
"""Kinds of numpy arrays that may hold coordinates: not texts, objects, complex or truth values."""


@dataclass(frozen=True)
class FrameArray:
    """An array that frames may have, one entry a frame.

    Args:
        name: of the array, and of its file.
        shape: of one frame.
        unit: of the package.
        meaning: in words.
        dtype: on disk.
        needed: whether all frames have it.
        gaps: whether frames may lack it, which NaN says.
    """

    name: str
    shape: tuple[int | str, ...]
    unit: str
    meaning: str
    dtype: Any = np.float32
    needed: bool = False
    gaps: bool = False

    def shape_of(self, n_frames: int, n_beads: int) -> tuple[int, ...]:
        """Of the array of so many frames.

        >>> ARRAYS["halves"].shape_of(10, 4)
        (10, 2, 4, 3)
        """
        return (n_frames, *(n_beads if size == BEADS else int(size) for size in self.shape))


_TABLE = (
    FrameArray("positions", (BEADS, 3), "nm", "where the beads are", needed=True),
    FrameArray("forces", (BEADS, 3), "kJ/mol/nm", "mapped forces B f, of the unbiased Hamiltonian", needed=True),
    FrameArray("boxes", (3, 3), "nm", "rows are box vectors; none with open boundaries", np.float64),
    FrameArray("halves", (2, BEADS, 3), "kJ/mol/nm", "mean forces over each half of the averaging time"),
    FrameArray("variance", (BEADS,), "(kJ/mol/nm)^2", "of a component of the instantaneous force about its mean"),
    FrameArray("second", (BEADS, 3), "kJ/mol/nm", "mean forces over a second draw of the eliminated atoms", gaps=True),
    FrameArray("energies", (), "kJ/mol", "potential energy, where the beads are all atoms there are", np.float64),
    FrameArray("virials", (3, 3), "kJ/mol", "sum_i r_i f_i = -V times the stress, as for energies", np.float64),
    FrameArray("bias_energies", (), "kJ/mol", "of a bias on the beads that the frames were sampled with", np.float64),
    FrameArray("bias_forces", (BEADS, 3), "kJ/mol/nm", "of that bias; they are not in `forces`"),
    FrameArray("weights", (), "1", "how much a frame counts in averages of the unbiased ensemble", np.float64),
)

ARRAYS = {array.name: array for array in _TABLE}
"""What frames may hold, by name."""

MAIN = ("positions", "forces", "boxes")
LABELS = ("halves", "variance", "second")
"""Those that averaged forces come with, all together."""

MORE = tuple(name for name in ARRAYS if name not in (*MAIN, *LABELS))
"""Those that `Frames.more` may hold."""


def on_disk(arrays: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """The arrays in the types that files have."""
    return {name: np.asarray(array, ARRAYS[name].dtype) for name, array in arrays.items()}


def check_arrays(arrays: Mapping[str, Array], n_beads: int, source: str, *, judged: bool = False) -> None:
    """Refuse arrays that are missing or unknown, of wrong shapes, of no real numbers, or with some that are not finite.

    Of those that were `judged` before, and of `JoinedArray`s, which were when their files were opened, only shapes and types
    are looked at, which reads nothing from files.

    Raises:
        ValueError: names the array, what was found and what was expected.
    """
    if unknown := sorted({*arrays} - {*ARRAYS}):
        raise ValueError(f"{source}: {unknown[0]!r} is no array of frames, which may be {', '.join(ARRAYS)}")
    if missing := [name for name, array in ARRAYS.items() if array.needed and name not in arrays]:
        raise ValueError(f"{source}: no {missing[0]}, which all frames have")
    if lost := [name for name in LABELS if any(other in arrays for other in LABELS) and name not in arrays]:
        raise ValueError(f"{source}: no {lost[0]}; averaged forces have {', '.join(LABELS)}, or none of them")
    n_frames = len(arrays["positions"]) if arrays["positions"].ndim else 0
    for name in (name for name in ARRAYS if name in arrays):
        array, expected = arrays[name], ARRAYS[name].shape_of(n_frames, n_beads)
        if array.shape != expected:
            words = ", ".join(["frames", *map(str, ARRAYS[name].shape)])
            raise ValueError(f"{source}: {name} have shape {array.shape}, expected {expected} ({words})")
        if array.dtype.kind not in REAL_NUMBERS:
            raise ValueError(f"{source}: {name} are of type {array.dtype}, expected real numbers: write them as such")
        if judged or isinstance(array, JoinedArray):
            continue
        if not ARRAYS[name].gaps and not np.isfinite(array).all():
            frame = int(np.argwhere(~np.isfinite(array))[0, 0])
            raise ValueError(f"{source}: {name} of frame {frame} are not finite: the simulation that wrote it blew up")
        if name == "boxes":
            check_boxes(np.asarray(array), source)
