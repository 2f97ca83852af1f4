"""The work that all contestants do: frames of beads with their edges, in files that every environment can read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgnnp.models.neighbors import neighbor_list, wrap

DENSITY_NM3 = 33.4
"""Of water, beads of one molecule each."""
JITTER_NM = 0.04
"""Of beads on a cubic lattice: as many neighbours as in a liquid, none on top of another."""


@dataclass(frozen=True)
class Beads:
    """A system: beads per side of a cubic lattice (or how many of them are taken), box, types, cutoff."""

    name: str
    label: str
    n_beads: int
    box_nm: float
    cutoff_nm: float
    type_names: tuple[str, ...] = ("W",)

    @property
    def avg_neighbors(self) -> float:
        """Of a structureless system at this density, which normalises sums over neighbours: alike for all sizes."""
        return 4 / 3 * np.pi * self.cutoff_nm**3 * self.n_beads / self.box_nm**3

    @property
    def kind(self) -> str:
        """What may share a compiled network: everything but the number of beads."""
        return f"{'_'.join(self.type_names)}_{self.cutoff_nm:g}"

    def file(self, folder: Path, n_frames: int) -> Path:
        """The file of the frames, made when it is not there."""
        path = folder / f"{self.name}_{n_frames}.npz"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(path, **self._arrays(n_frames))
        return path

    def _arrays(self, n_frames: int) -> dict[str, Any]:
        """Frames with edges sorted by their first bead, and targets of unit variance."""
        rng = np.random.default_rng(0)
        box = self.box_nm * np.eye(3)
        side = int(np.ceil(self.n_beads ** (1 / 3) - 1e-9))
        lattice = (
            (np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3) + 0.5) * self.box_nm / side
        )
        result: dict[str, Any] = {"box": box, "types": np.arange(self.n_beads) % len(self.type_names)}
        for k in range(n_frames):
            chosen = lattice[np.sort(rng.permutation(len(lattice))[: self.n_beads])]
            positions = wrap(torch.from_numpy(chosen + rng.normal(0, JITTER_NM, chosen.shape)), torch.from_numpy(box))
            centers, neighbors, shifts = neighbor_list(positions, torch.from_numpy(box), self.cutoff_nm)
            result |= {
                f"positions_{k}": positions.numpy(),
                f"targets_{k}": rng.normal(0, 1, chosen.shape).astype(np.float32),
                f"centers_{k}": centers.numpy(),
                f"neighbors_{k}": neighbors.numpy(),
                f"shifts_{k}": np.rint(shifts.numpy() / self.box_nm),
            }
        return result


def waters(n_beads: int) -> Beads:
    """One-bead water at its density, cutoff 0.6 nm."""
    return Beads(f"water{n_beads}", f"{n_beads:,} waters", n_beads, (n_beads / DENSITY_NM3) ** (1 / 3), 0.6)


def ions(cutoff_nm: float) -> Beads:
    """64 sodium and 64 chloride ions in a box of 2.98 nm."""
    return Beads(f"ions{cutoff_nm:g}", f"128 ions, cutoff {cutoff_nm:g} nm", 128, 2.98, cutoff_nm, ("Na", "Cl"))
