"""Read Amber NetCDF trajectories with MDAnalysis. The convention fixes the units: Angstrom, kcal/mol/Angstrom, ps."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import netcdf_file

from cgnnp.reference.trajectories.stated_units import Units, fixed_units
from cgnnp.reference.trajectories.trajectory import Piece, RawFrame

HOW_TO_WRITE = "set ioutfm=1, ntwx > 0 and ntwf=-1 in the mdin file: forces are then written with the coordinates"


def open_amber_netcdf(path: Path, units: Units | None) -> Piece:
    """Open an Amber NetCDF trajectory. MDAnalysis checks the convention and the units that the file states.

    Raises:
        ValueError: the file has no forces or no coordinates, follows another convention, or is damaged or truncated; or
            `units` are not those of the convention.
    """
    file_units = fixed_units(units, "Angstrom,kcal/mol/Angstrom", str(path))
    try:
        with _reader(path) as reader:
            has_forces, n_frames, n_atoms = reader.has_forces, reader.n_frames, reader.n_atoms
            times = np.array([frame.time for frame in reader]) if reader.has_time else None
    except KeyError as error:
        raise ValueError(f"{path}: the file has no {error}: {HOW_TO_WRITE}") from error
    except (TypeError, ValueError, NotImplementedError, OSError, LookupError, AttributeError) as error:
        raise ValueError(f"{path}: cannot be read as an Amber NetCDF trajectory, or is truncated: {error}") from error
    if not has_forces:
        raise ValueError(f"{path}: the file has no forces: {HOW_TO_WRITE}")
    return Piece(
        path,
        n_frames=n_frames,
        n_atoms=n_atoms,
        units=file_units,
        read=lambda numbers: _read(path, numbers),
        dtype=np.float32,
        times_ps=times,
    )


def _reader(path: Path) -> Any:
    from MDAnalysis.coordinates.TRJ import NCDFReader

    with netcdf_file(str(path)):  # fails on a bad file before NCDFReader, whose finalizer would also raise
        pass
    return NCDFReader(str(path), convert_units=False)


def _read(path: Path, numbers: range) -> Iterator[RawFrame]:
    from MDAnalysis.lib.mdamath import triclinic_vectors

    with _reader(path) as reader:
        for number in numbers:
            frame = reader[number]
            box = np.zeros((3, 3)) if frame.dimensions is None else triclinic_vectors(frame.dimensions, dtype=np.float64)
            yield RawFrame(frame.positions, frame.forces, box)
