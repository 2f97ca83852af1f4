"""Shared by the scripts that record results of other packages: two frames, and the file format. Imports numpy only."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

FRAMES: dict[str, Any] = {
    "water": {"type_names": ["W"], "r_max": 0.6, "avg_num_neighbors": 30.0},
    "molecule": {"type_names": ["A", "B", "C"], "r_max": 0.5, "avg_num_neighbors": 6.5},
}
"""Settings that all models of a frame share, by the name of the frame."""


def frame(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions, cell and types of `water` or `molecule`."""
    return water() if name == "water" else molecule()


def water() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions, cell and types of 64 beads near a simple cubic lattice, at the density of water."""
    length, per_side = 1.242, 4
    lattice = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * length / per_side
    jitter = np.random.default_rng(1).uniform(-0.06, 0.06, lattice.shape)
    return lattice + jitter, length * np.eye(3), np.zeros(len(lattice), dtype=np.int64)


def molecule() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions, a cell much larger than the cutoff, and types of a cluster of nine beads without symmetry."""
    generator = np.random.default_rng(2)
    chosen: list[np.ndarray] = []
    while len(chosen) < 9:
        trial = generator.uniform(0.0, 0.6, 3)
        if all(np.linalg.norm(trial - other) > 0.2 for other in chosen):
            chosen.append(trial)
    return np.array(chosen) + 1.5, 4.0 * np.eye(3), np.array([0, 1, 2, 0, 0, 1, 2, 2, 1])


def arrays_of(model: Any, **more: Any) -> dict[str, np.ndarray]:
    """Return parameters, Bessel roots, the normalisation of every SiLU, and the tensors of `more` as arrays.

    Their names are those of the package that the model is from.
    """
    chosen = {name: tensor for name, tensor in model.named_parameters() if tensor.numel()} | more
    chosen |= {name: tensor for name, tensor in model.named_buffers() if name.endswith("bessel_weights")}
    constants = {f"{name}.cst": module.cst for name, module in model.named_modules() if hasattr(module, "cst")}
    arrays = {name: tensor.detach().numpy() for name, tensor in chosen.items()}
    return arrays | {name: np.array(constant, dtype=np.float64) for name, constant in constants.items()}


def target_folder(description: str | None) -> Path:
    """Parse the command line and return the folder that it names; the folder is made if it does not exist."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    folder: Path = options.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_case(path: Path, settings: dict[str, Any], frame_name: str, found: dict[str, Any], **arrays: Any) -> None:
    """Write the compressed file of a case, and print the root mean squares of the energies and forces.

    Args:
        path: the file.
        settings: settings of the model, which are stored as JSON.
        frame_name: name of the frame, "water" or "molecule".
        found: energies and forces that the package computes.
        arrays: weights and constants of the model, by name.
    """
    positions, cell, types = frame(frame_name)
    text = json.dumps(settings)
    np.savez_compressed(path, settings=text, positions=positions, cell=cell, types=types, **found, **arrays)
    rms = {key: float(np.sqrt(np.mean(value**2))) for key, value in found.items()}
    print(path, path.stat().st_size, "bytes", rms)
