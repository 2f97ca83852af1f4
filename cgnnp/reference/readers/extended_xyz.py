"""Extended XYZ files, parsed by ASE. The format fixes no units: ASE writes eV and Angstrom, others other ones."""

from collections import deque
from collections.abc import Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cgnnp.reference.readers.stated_units import Units, stated_units
from cgnnp.reference.readers.text import check_last_line
from cgnnp.reference.readers.trajectory import Piece, RawFrame


def open_extended_xyz(path: Path, units: Units | None, forces_name: str = "forces") -> Piece:
    """Open an extended XYZ file; `forces_name` is the name of the column in Properties that holds the forces.

    Raises:
        ValueError: no units stated; no forces; damaged or truncated; frames of different numbers of atoms.
    """
    file_units = stated_units(units, str(path))
    check_last_line(path)
    offsets, n_atoms = _index(path)
    first = _parse(path, offsets[0], offsets[1])
    _forces(first, forces_name, path)
    numbers_of_elements = first.numbers.copy()

    def read(numbers: range) -> Iterator[RawFrame]:
        for number in numbers:
            atoms = _parse(path, offsets[number], offsets[number + 1])
            if not np.array_equal(atoms.numbers, numbers_of_elements):
                raise ValueError("its elements are not those of the first frame, or in another order")
            yield atoms.positions, _forces(atoms, forces_name, path), atoms.cell.array

    return Piece(path, n_frames=len(offsets) - 1, n_atoms=n_atoms, units=file_units, read=read)


def _index(path: Path) -> tuple[list[int], int]:
    """Where every frame begins and the last one ends, and the number of atoms they all have."""
    offsets, counts = [0], []
    with path.open("rb") as file:
        while (line := file.readline()).strip():
            number = len(counts)
            if not line.strip().isdigit():
                raise ValueError(
                    f"{path}: frame {number} does not begin with a number of atoms but with {line[:40]!r}: damaged, or the "
                    "number of atoms before is wrong"
                )
            counts.append(int(line))
            if not (last := deque(islice(file, counts[-1] + 1), maxlen=1)) or not last[0].strip():
                raise ValueError(f"{path}: frame {number} is truncated: cut it off")
            if counts[-1] != counts[0]:
                raise ValueError(
                    f"{path}: frame {number} has {counts[-1]} atoms, frame 0 has {counts[0]}: "
                    "one trajectory is of one system; sort the frames into files of one system each"
                )
            offsets.append(file.tell())
    if not counts:
        raise ValueError(f"{path}: has no frames: it begins with an empty line")
    _check_end(path, offsets[-1], len(counts))
    return offsets, counts[0]


def _check_end(path: Path, end: int, n_frames: int) -> None:
    with path.open("rb") as file:
        file.seek(end)
        if any(line.strip() for line in file):
            raise ValueError(f"{path}: there is an empty line after frame {n_frames - 1}, and then more: remove it")


def _parse(path: Path, begin: int, end: int) -> Any:
    import ase.io

    with path.open("rb") as file:
        file.seek(begin)
        text = file.read(end - begin).decode()
    return ase.io.read(StringIO(text), index=0, format="extxyz")


def _forces(atoms: Any, name: str, path: Path) -> np.ndarray:
    """Forces as the file has them: ASE puts a column called forces into a calculator, others among the arrays."""
    results = atoms.calc.results if atoms.calc is not None else {}
    forces = results.get(name, atoms.arrays.get(name))
    if forces is None or np.shape(forces) != (len(atoms), 3):
        present = ", ".join(sorted({*results, *atoms.arrays}))
        raise ValueError(
            f"{path}: has no column '{name}' of forces (it has {present}): name the right one with forces_name=..., or "
            "write them: ase.io.write('trajectory.xyz', atoms, format='extxyz') does for atoms with a calculator that has "
            "computed them; in CP2K and others ask for forces in the output and join them"
        )
    return forces
