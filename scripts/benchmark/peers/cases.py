"""The cases of the benchmark (a system and a task), and the files of frames and edges that all environments read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgnnp.models.neighbors import neighbor_list, wrap

DENSITY_NM3 = 33.4
"""Number density of water, one bead per molecule, in 1/nm³."""

JITTER_NM = 0.04
"""Standard deviation of the displacements from a cubic lattice: neighbours are as many as in a liquid, no beads overlap."""


@dataclass(frozen=True)
class Beads:
    """A system of beads near the sites of a cubic lattice in a cubic box; bead types alternate from bead to bead."""

    name: str
    label: str
    n_beads: int
    box_nm: float
    cutoff_nm: float
    type_names: tuple[str, ...] = ("W",)

    @property
    def avg_neighbors(self) -> float:
        """Number of neighbours within the cutoff at uniform density; networks normalise sums over neighbours with it."""
        return 4 / 3 * np.pi * self.cutoff_nm**3 * self.n_beads / self.box_nm**3

    @property
    def kind(self) -> str:
        """Bead types and cutoff as text; compiled code for systems of the same kind is shared, whatever their size."""
        return f"{'_'.join(self.type_names)}_{self.cutoff_nm:g}"

    def file(self, folder: Path, n_frames: int) -> Path:
        """Return the path of the file with this number of frames; the file is written if it does not exist."""
        path = folder / f"{self.name}_{n_frames}.npz"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(path, **self.arrays(n_frames))
        return path

    def arrays(self, n_frames: int) -> dict[str, Any]:
        """Return arrays of random frames: positions, edges sorted by center, and random target forces of variance 1."""
        rng, box, n_beads = np.random.default_rng(0), self.box_nm * np.eye(3), self.n_beads
        side = int(np.ceil(n_beads ** (1 / 3) - 1e-9))
        sites = np.stack(np.meshgrid(*[np.arange(side) + 0.5] * 3, indexing="ij"), -1).reshape(-1, 3) * self.box_nm / side
        result: dict[str, Any] = {"box": box, "types": np.arange(n_beads) % len(self.type_names)}
        for k in range(n_frames):
            chosen = sites[np.sort(rng.permutation(len(sites))[:n_beads])]
            positions = wrap(torch.from_numpy(chosen + rng.normal(0, JITTER_NM, chosen.shape)), torch.from_numpy(box))
            edges = neighbor_list(positions, torch.from_numpy(box), self.cutoff_nm)
            centers, neighbors, shifts = (part.numpy() for part in edges)
            targets = rng.normal(0, 1, chosen.shape).astype(np.float32)
            result |= {f"positions_{k}": positions.numpy(), f"targets_{k}": targets, f"centers_{k}": centers}
            result |= {f"neighbors_{k}": neighbors, f"shifts_{k}": np.rint(shifts / self.box_nm)}
        return result


@dataclass(frozen=True)
class Job:
    """One case of the benchmark: a system of beads and a task. With `only_ours`, only cgnnp takes part."""

    beads: Beads
    task: str
    batch: int = 1
    only_ours: bool = False

    @property
    def label(self) -> str:
        """Name of the case in tables."""
        tasks = {"forces": "forces", "train": f"train, batch {self.batch}", "md": "MD step"}
        return f"{self.beads.label}, {tasks[self.task]}"

    @property
    def name(self) -> str:
        """Name of the case in file names."""
        return f"{self.beads.name}_{self.task}_{self.batch}"


def waters(n_beads: int) -> Beads:
    """Return one-bead water at the number density of liquid water, with a cutoff of 0.6 nm."""
    return Beads(f"water{n_beads}", f"{n_beads:,} waters", n_beads, (n_beads / DENSITY_NM3) ** (1 / 3), 0.6)


def ions(cutoff_nm: float) -> Beads:
    """Return 64 sodium and 64 chloride ions in a box of 2.98 nm."""
    return Beads(f"ions{cutoff_nm:g}", f"128 ions, cutoff {cutoff_nm:g} nm", 128, 2.98, cutoff_nm, ("Na", "Cl"))


def jobs(quick: bool) -> list[Job]:
    """Return all cases, the short ones first."""
    small = waters(216)
    if quick:
        return [Job(small, "forces"), Job(small, "train"), Job(small, "md"), Job(waters(4096), "forces", only_ours=True)]
    tasks = (("forces", 1), ("train", 1), ("train", 8), ("md", 1))
    all_packages = [Job(beads, *task) for beads in (small, ions(1.0), ions(1.5), waters(1000)) for task in tasks]
    return all_packages + [Job(waters(n), "forces", only_ours=True) for n in (4096, 8000, 27000, 64000)]
