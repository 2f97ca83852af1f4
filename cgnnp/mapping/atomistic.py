"""The facts about atoms that a mapping needs, and the rules for names of beads. Imports numpy only."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.runtime.representation import brief

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+'*]*")
"""Pattern of the names of molecules and bead types.

A name must be a single word in a PDBx file. It has no hyphen, because pairs of beads are named by two types and a hyphen
(Na-Cl).
"""


SAME_VALUE = 1e-6
"""Charges (e) of beads of one type may differ by at most this much, which allows for rounding."""

SAME_MASS = 0.01
"""Masses of beads of one type may have at most this relative difference.

Tables of atomic masses are rounded differently, and no mean force or structure depends on a mass. A larger difference
suggests that the beads are not of one type.
"""


def as_name(text: str, otherwise: str = "X") -> str:
    """Return a valid name for a molecule or bead type from the name that an engine gave: Cl- becomes Cl.

    >>> as_name("Cl-"), as_name("H 1"), as_name("-")
    ('Cl', 'H_1', 'X')
    """
    word = re.sub(r"[^A-Za-z0-9_+'*]", "_", text).lstrip("_+'*").rstrip("_")
    return word if NAME.fullmatch(word) else otherwise


@brief
@dataclass(frozen=True, kw_only=True)
class Atomistic:
    """The facts about the atoms that a mapping needs, whatever engine they come from.

    `topology` is an mdtraj Topology, which is only stored here. `rigid_groups` are the connected clusters of atoms whose
    distances are fixed by constraints. `virtual_sites` are the atoms without mass whose positions follow from other atoms.
    """

    topology: Any
    masses: Float[np.ndarray, "atoms"]
    charges: Float[np.ndarray, "atoms"]
    rigid_groups: tuple[tuple[int, ...], ...] = ()
    virtual_sites: tuple[int, ...] = ()

    @property
    def n_atoms(self) -> int:
        """Number of atoms, including virtual sites."""
        return len(self.masses)
