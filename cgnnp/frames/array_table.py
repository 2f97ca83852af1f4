"""Table of all arrays that frames may have, with name, shape, type and unit.

Writing, reading, slicing, joining and checking of frames all use this table, so a new array needs only one entry here.
Imports numpy only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgnnp.frames.boxes import check_boxes
from cgnnp.frames.joined_array import Array, JoinedArray

BEADS = "beads"
"""Placeholder for the number of beads in shapes."""

REAL_NUMBERS = "fiu"
"""Codes (`dtype.kind`) of the numpy types that arrays of frames may have: floats and integers."""


@dataclass(frozen=True)
class FrameArray:
    """An array that frames may have. Its first axis runs over the frames.

    Args:
        name: name of the array and of its file.
        shape: shape for one frame; `BEADS` stands for the number of beads.
        unit: unit of the numbers.
        meaning: description of the array.
        dtype: type of the numbers on disk.
        needed: whether all frames must have the array.
        gaps: whether the array may lack values for some frames; they are NaN then.
    """

    name: str
    shape: tuple[int | str, ...]
    unit: str
    meaning: str
    dtype: Any = np.float32
    needed: bool = False
    gaps: bool = False

    def shape_of(self, n_frames: int, n_beads: int) -> tuple[int, ...]:
        """Shape of the array for a given number of frames and beads.

        >>> ARRAYS["halves"].shape_of(10, 4)
        (10, 2, 4, 3)
        """
        return (n_frames, *(n_beads if size == BEADS else int(size) for size in self.shape))


_TABLE = (
    FrameArray("positions", (BEADS, 3), "nm", "positions of the beads", needed=True),
    FrameArray("forces", (BEADS, 3), "kJ/mol/nm", "mapped forces B f of the unbiased Hamiltonian", needed=True),
    FrameArray("boxes", (3, 3), "nm", "box vectors as rows; absent for open boundaries", np.float64),
    FrameArray("halves", (2, BEADS, 3), "kJ/mol/nm", "mean forces over each half of the averaging time"),
    FrameArray("variance", (BEADS,), "(kJ/mol/nm)^2", "variance of a component of the instantaneous force"),
    FrameArray("second", (BEADS, 3), "kJ/mol/nm", "mean forces over a second draw of the eliminated atoms", gaps=True),
    FrameArray("energies", (), "kJ/mol", "potential energies; only if the beads are all atoms", np.float64),
    FrameArray(
        "virials",
        (3, 3),
        "kJ/mol",
        "virials sum_i r_i f_i (minus volume times stress); only if the beads are all atoms",
        np.float64,
    ),
    FrameArray("bias_energies", (), "kJ/mol", "energies of the bias on the beads in a biased run", np.float64),
    FrameArray("bias_forces", (BEADS, 3), "kJ/mol/nm", "forces of the bias; not included in `forces`"),
    FrameArray("weights", (), "1", "weights of the frames in averages over the unbiased ensemble", np.float64),
)

ARRAYS = {array.name: array for array in _TABLE}
"""All arrays that frames may have, by name."""

MAIN = ("positions", "forces", "boxes")
LABELS = ("halves", "variance", "second")
"""Names of the arrays that accompany averaged forces: frames have all three of them, or none."""

MORE = tuple(name for name in ARRAYS if name not in (*MAIN, *LABELS))
"""Names of the arrays that `Frames.more` may hold."""


def on_disk(arrays: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """Convert the arrays to the types of numbers that are stored on disk."""
    return {name: np.asarray(array, ARRAYS[name].dtype) for name, array in arrays.items()}


def check_arrays(arrays: Mapping[str, Array], n_beads: int, source: str, *, judged: bool = False) -> None:
    """Check that arrays are complete and known, and have the right shapes and finite real numbers.

    Args:
        arrays: arrays by name.
        n_beads: number of beads.
        source: origin of the arrays, which error messages name.
        judged: whether the numbers were checked before. Then only shapes and types are checked, which reads no data from
            files. The same holds for every `JoinedArray`, since its numbers were checked when its files were opened.

    Raises:
        ValueError: an array is unknown, missing or not valid; the message names it.
    """
    if unknown := sorted({*arrays} - {*ARRAYS}):
        raise ValueError(f"{source}: {unknown[0]!r} is not an array of frames; frames may have {', '.join(ARRAYS)}")
    if missing := [name for name, array in ARRAYS.items() if array.needed and name not in arrays]:
        raise ValueError(f"{source}: {missing[0]} are missing, but all frames must have them: add this array")
    if lost := [name for name in LABELS if any(other in arrays for other in LABELS) and name not in arrays]:
        raise ValueError(
            f"{source}: {lost[0]} is missing: frames with averaged forces must have all of {', '.join(LABELS)}, or none"
        )
    n_frames = len(arrays["positions"]) if arrays["positions"].ndim else 0
    for name in (name for name in ARRAYS if name in arrays):
        array, expected = arrays[name], ARRAYS[name].shape_of(n_frames, n_beads)
        if array.shape != expected:
            words = ", ".join(["frames", *map(str, ARRAYS[name].shape)])
            raise ValueError(f"{source}: {name} have shape {array.shape}, expected {expected} ({words})")
        if array.dtype.kind not in REAL_NUMBERS:
            raise ValueError(
                f"{source}: {name} are of type {array.dtype}, expected real numbers: convert them to floats or integers"
            )
        if judged or isinstance(array, JoinedArray):
            continue
        if not ARRAYS[name].gaps and not np.isfinite(array).all():
            frame = int(np.argwhere(~np.isfinite(array))[0, 0])
            raise ValueError(
                f"{source}: {name} of frame {frame} are not finite: the simulation that wrote this frame blew up"
            )
        if name == "boxes":
            check_boxes(np.asarray(array), source)
