"""What a mapping needs to know of the atoms, and what beads may be called. Imports numpy only."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.runtime.representation import brief

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+'*]*")
"""Names of molecules and bead types: words in a PDBx file, and free of the hyphen that joins the names of a pair."""


SAME_VALUE = 1e-6
"""Charges of one bead type may differ by this much, that of rounding."""

SAME_MASS = 0.01
"""Share by which masses of one bead type may differ. Tables of masses are rounded differently, and no mean force or
structure depends on a mass. Beyond it the bead is likely another one."""


def as_name(text: str, otherwise: str = "X") -> str:
    """A name that molecules and bead types may have, from one that an engine gave: Cl- becomes Cl.

    >>> as_name("Cl-"), as_name("H 1"), as_name("-")
    ('Cl', 'H_1', 'X')
    """
    word = re.sub(r"[^A-Za-z0-9_+'*]", "_", text).lstrip("_+'*").rstrip("_")
    return word if NAME.fullmatch(word) else otherwise


@brief
@dataclass(frozen=True, kw_only=True)
class Atomistic:
    """What a mapping needs to know about the atoms: plain facts, whatever engine they come from.

    `topology` is an mdtraj Topology (held, never used, here). `rigid_groups` are the connected clusters of atoms that
    constraints hold at fixed distances, `virtual_sites` the atoms without mass whose place other atoms give.
    """

    topology: Any
    masses: Float[np.ndarray, "atoms"]
    charges: Float[np.ndarray, "atoms"]
    rigid_groups: tuple[tuple[int, ...], ...] = ()
    virtual_sites: tuple[int, ...] = ()

    @property
    def n_atoms(self) -> int:
        """Number of atoms, virtual sites included."""
        return len(self.masses)
