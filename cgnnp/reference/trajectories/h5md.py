"""H5MD files (de Buyl, Colberg, Hoefling 2014, 10.1016/j.cpc.2014.01.018), read by h5py.

Not by MDAnalysis, whose reader knows no box that is constant in time and pairs positions with forces by number, whatever
their steps.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cgnnp.reference.trajectories.stated_units import Units, stated_units
from cgnnp.reference.trajectories.trajectory import Piece, RawFrame

HOW_TO_WRITE = "the simulation must write the group 'force' as often as 'position'"
READ = ("position", "force", "box", "velocity", "id", "species", "image")
"""Elements of the group of particles that are read, or need no word when they are not."""

PICOSECONDS = {"ps": 1.0, "fs": 1e-3, "ns": 1e3}
SPELLINGS = {"a": "angstrom", "å": "angstrom", "angstroms": "angstrom", "nanometer": "nm", "a0": "bohr", "eh": "hartree"}


def open_h5md(path: Path, units: Units | None) -> Piece:
    """Open an H5MD file with one group of particles. Units are those it states, else those the user states.

    Raises:
        ValueError: no forces, positions or box; several groups; no units, or other ones than stated; damaged.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return _open(path, file, units)
    except OSError as error:
        raise ValueError(f"{path}: not an HDF5 file, or damaged or truncated ({error})") from error


def _open(path: Path, file: Any, units: Units | None) -> Piece:
    groups = list(file.get("particles", ()))
    if len(groups) != 1:
        raise ValueError(f"{path}: has {len(groups)} groups of particles ({', '.join(groups)}), expected one")
    group, name = file["particles"][groups[0]], f"particles/{groups[0]}"
    for part in ("position/value", "force/value", "box/edges"):
        if part not in group:
            raise ValueError(f"{path}: has no {name}/{part}: {HOW_TO_WRITE}, and a box")
    position, force, edges = group["position"], group["force"], group["box/edges"]
    shape = position["value"].shape
    if len(shape) != 3 or shape[2] != 3 or force["value"].shape != shape:
        raise ValueError(f"{path}: positions are {shape}, forces {force['value'].shape}: {HOW_TO_WRITE}")
    varying = hasattr(edges, "keys")
    for other in (force, edges) if varying else (force,):
        _check_steps(path, position, other)
    return Piece(
        path,
        n_frames=shape[0],
        n_atoms=shape[1],
        units=_units(path, position["value"], force["value"], units),
        read=lambda numbers: _read(path, name, varying, numbers),
        dtype=np.result_type(position["value"].dtype, force["value"].dtype, np.float32),
        times_ps=_times(position),
        ignored=tuple(sorted(set(group) - set(READ))) + tuple(f"observables/{key}" for key in file.get("observables", ())),
    )


def _check_steps(path: Path, position: Any, other: Any) -> None:
    steps, others = (np.asarray(element["step"]) if "step" in element else None for element in (position, other))
    same_length = other["value"].shape[0] == position["value"].shape[0]
    if not same_length or (steps is not None and others is not None and not np.array_equal(steps, others)):
        raise ValueError(f"{path}: {other.name} is not stored at the same steps as {position.name}: {HOW_TO_WRITE}")


def _times(position: Any) -> np.ndarray | None:
    if "time" not in position or position["time"].shape != position["value"].shape[:1]:
        return None
    scale = PICOSECONDS.get(_text(position["time"].attrs.get("unit", "")))
    return None if scale is None else np.asarray(position["time"], dtype=np.float64) * scale


def _units(path: Path, positions: Any, forces: Any, stated: Units | None) -> Any:
    """Units from the attributes: `nm`, `kJ mol-1 nm-1` in the notation of the H5MD module for units."""
    length, force = (_text(dataset.attrs.get("unit", "")) for dataset in (positions, forces))
    if not (length and force):
        return stated_units(stated, f"{path} (no 'unit' attributes at positions and forces)")
    own = stated_units({"length": _spelled(length), "force": _spelled(force)}, str(path))
    if stated is not None and stated_units(stated, str(path)) != own:
        raise ValueError(f"{path}: units={stated!r} stated, but the file says {length} and {force}: leave units out")
    return own


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _spelled(unit: str) -> str:
    """`kJ mol-1 nm-1` as kj/mol/nm."""
    words = [word.lower() for word in unit.replace("/", " /").split()]
    names = [word.strip("/").removesuffix("-1") for word in words]
    return "/".join(SPELLINGS.get(name, name) for name in names)


def _read(path: Path, name: str, varying: bool, numbers: range) -> Iterator[RawFrame]:
    import h5py

    with h5py.File(path, "r") as file:
        group = file[name]
        positions, forces = group["position/value"], group["force/value"]
        edges = group["box/edges/value"] if varying else group["box/edges"]
        for number in numbers:
            box = np.asarray(edges[number] if varying else edges)
            yield positions[number], forces[number], np.diag(box) if box.ndim == 1 else box
