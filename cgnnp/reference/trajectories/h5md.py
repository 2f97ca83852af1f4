"""Read H5MD files (de Buyl, Colberg, Hoefling 2014, 10.1016/j.cpc.2014.01.018) with h5py.

MDAnalysis is not used: its reader does not support a box that is constant in time, and it pairs positions with forces by
number even if they are stored at different time steps.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cgnnp.reference.trajectories.stated_units import ENERGIES_KJ_MOL, FileUnits, Units, stated_units
from cgnnp.reference.trajectories.trajectory import Piece, RawFrame

HOW_TO_WRITE = "the simulation must write the group 'force' as often as 'position'"
READ = ("position", "force", "box", "velocity", "id", "species", "image")
"""Names of elements of the particle group that are read, or that are ignored without a warning."""

POTENTIAL_ENERGY = "potential_energy"

PICOSECONDS = {"ps": 1.0, "fs": 1e-3, "ns": 1e3}
SPELLINGS = {"a": "angstrom", "å": "angstrom", "angstroms": "angstrom", "nanometer": "nm", "a0": "bohr", "eh": "hartree"}


def open_h5md(path: Path, units: Units | None) -> Piece:
    """Open an H5MD file with one group of particles. The units are those of the file, or those that the user states.

    Raises:
        ValueError: the file has no forces or positions, not exactly one group of particles, or boundaries of different
            kinds; no units are known, or the file has others than the user states; or the file is damaged.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return _open(path, file, units)
    except OSError as error:
        raise ValueError(f"{path}: this is not an HDF5 file, or it is damaged or truncated ({error})") from error


def _open(path: Path, file: Any, units_stated: Units | None) -> Piece:
    groups = list(file.get("particles", ()))
    if len(groups) != 1:
        raise ValueError(f"{path}: has {len(groups)} groups of particles ({', '.join(groups)}), but one is expected")
    group, name = file["particles"][groups[0]], f"particles/{groups[0]}"
    for part in ("position/value", "force/value"):
        if part not in group:
            raise ValueError(f"{path}: has no {name}/{part}: {HOW_TO_WRITE}")
    position, force, edges = group["position"], group["force"], _edges(group)
    shape = position["value"].shape
    if len(shape) != 3 or shape[2] != 3 or force["value"].shape != shape:
        raise ValueError(
            f"{path}: the shape of positions is {shape} and that of forces {force['value'].shape}, but both must be "
            f"(frames, atoms, 3): {HOW_TO_WRITE}"
        )
    varying = hasattr(edges, "keys")
    for other in (force, edges) if varying else (force,):
        _check_steps(path, position, other)
    units = _units(path, position["value"], force["value"], units_stated)
    energies = _energies(file, position, units)
    others = [f"observables/{key}" for key in file.get("observables", ()) if energies is None or key != POTENTIAL_ENERGY]
    return Piece(
        path,
        n_frames=shape[0],
        n_atoms=shape[1],
        units=units,
        read=lambda numbers: _read(path, name, edges is not None, varying, energies, numbers),
        dtype=np.result_type(position["value"].dtype, force["value"].dtype, np.float32),
        times_ps=_times(position),
        ignored=tuple(sorted(set(group) - set(READ))) + tuple(others),
    )


def _edges(group: Any) -> Any:
    """Return the box, constant or with a value for each frame; None with open boundaries.

    Raises:
        ValueError: some boundaries are periodic and others are not.
    """
    box = group.get("box")
    if box is None:
        return None
    kinds = {kind.decode() if isinstance(kind, bytes) else str(kind) for kind in box.attrs.get("boundary", ["periodic"])}
    if len(kinds) > 1:
        raise ValueError(
            f"{box.name}: boundary is {' and '.join(sorted(kinds))}, but it must be periodic along all axes, or none along "
            "all axes"
        )
    return None if kinds == {"none"} else box.get("edges")


def _check_steps(path: Path, position: Any, other: Any) -> None:
    steps, others = (np.asarray(element["step"]) if "step" in element else None for element in (position, other))
    same_length = other["value"].shape[0] == position["value"].shape[0]
    if not same_length or (steps is not None and others is not None and not np.array_equal(steps, others)):
        raise ValueError(f"{path}: {other.name} is not stored at the same steps as {position.name}: {HOW_TO_WRITE}")


def _energies(file: Any, position: Any, units: FileUnits) -> np.ndarray | None:
    """Return the potential energies of all frames, in the energy unit of the forces.

    Return None if the file does not have them, has them at other time steps, or has them in an unknown unit.
    """
    element = file.get(f"observables/{POTENTIAL_ENERGY}")
    if element is None or "value" not in element or element["value"].shape != position["value"].shape[:1]:
        return None
    if "step" in element and "step" in position and not np.array_equal(element["step"], position["step"]):
        return None
    name = _spelled(_text(element["value"].attrs.get("unit", "")))
    scale = ENERGIES_KJ_MOL.get(name, 0.0 if name else units.energy_kJ_mol) / units.energy_kJ_mol
    return np.asarray(element["value"], dtype=np.float64) * scale if scale else None


def _times(position: Any) -> np.ndarray | None:
    if "time" not in position or position["time"].shape != position["value"].shape[:1]:
        return None
    scale = PICOSECONDS.get(_text(position["time"].attrs.get("unit", "")))
    return None if scale is None else np.asarray(position["time"], dtype=np.float64) * scale


def _units(path: Path, positions: Any, forces: Any, stated: Units | None) -> Any:
    """Return the units in the attributes of the file (`nm`, `kJ mol-1 nm-1` in H5MD's notation), or the stated ones."""
    length, force = (_text(dataset.attrs.get("unit", "")) for dataset in (positions, forces))
    if not (length and force):
        return stated_units(stated, f"{path} (no 'unit' attributes at positions and forces)")
    own = stated_units({"length": _spelled(length), "force": _spelled(force)}, str(path))
    if stated is not None and stated_units(stated, str(path)) != own:
        raise ValueError(f"{path}: units={stated!r} is stated, but the file has {length} and {force}: leave units out")
    return own


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _spelled(unit: str) -> str:
    """Return the spelling that `stated_units` reads: kj/mol/nm for `kJ mol-1 nm-1`."""
    words = [word.lower() for word in unit.replace("/", " /").split()]
    names = [word.strip("/").removesuffix("-1") for word in words]
    return "/".join(SPELLINGS.get(name, name) for name in names)


def _read(
    path: Path, name: str, boxed: bool, varying: bool, energies: np.ndarray | None, numbers: range
) -> Iterator[RawFrame]:
    import h5py

    with h5py.File(path, "r") as file:
        group = file[name]
        positions, forces = group["position/value"], group["force/value"]
        edges = None if not boxed else group["box/edges/value"] if varying else group["box/edges"]
        for number in numbers:
            box = None if edges is None else np.asarray(edges[number] if varying else edges)
            box = np.diag(box) if box is not None and box.ndim == 1 else box
            energy = None if energies is None else float(energies[number])
            yield RawFrame(positions[number], forces[number], box, energy)
