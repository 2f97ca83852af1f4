"""Tabulated pair potentials, which `cgnnp.priors.spline_fit` fits."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import openmm
from jaxtyping import Float, Int

from cgnnp.mapping.topology import BeadTopology
from cgnnp.priors.prior import Prior
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.representation import brief

TABLE_SPACING = 0.001
"""Distance between the points of a table, nm."""


@brief
@dataclass(frozen=True)
class PairTable:
    """Tabulated pair potential of one pair of bead types.

    Args:
        pair: the two bead types.
        first_sampled: first sampled distance of the pair, nm; the wall begins below it.
        energy: energies at equidistant points from r = 0 to the cutoff, kJ/mol.
    """

    pair: tuple[str, str]
    first_sampled: float
    energy: tuple[float, ...]


@brief
@dataclass(frozen=True)
class PairSpline(Prior):
    """Tabulated pair potentials, one for each pair of bead types; they are zero beyond the cutoff.

    >>> table = PairTable(("A", "A"), first_sampled=0.3, energy=(2.0, 1.0, 0.0))
    >>> PairSpline((table,), cutoff_nm=0.5).create_force(BeadTopology.of_types(["A", "A"])).getNumParticles()
    2
    """

    kind: ClassVar[str] = "pair_spline"

    tables: tuple[PairTable, ...]
    cutoff_nm: float

    @property
    def cutoff(self) -> float:
        """Distance beyond which all pair potentials are zero, nm."""
        return self.cutoff_nm

    def first_sampled(self) -> dict[tuple[str, str], float]:
        """Return the first sampled distance of every pair of bead types, nm."""
        return {table.pair: table.first_sampled for table in self.tables}

    def create_force(self, topology: BeadTopology) -> openmm.Force:
        """Make an OpenMM CustomNonbondedForce for the beads of a topology.

        With several bead types, every particle has a parameter for each type, which is 1 for its own type and 0 otherwise.
        The parameters of two particles select their table.

        Raises:
            ValueError: there is no table for a bead type, or for a pair of bead types.
        """
        bead_types = topology.bead_types
        known = self._known_types(bead_types)
        force = openmm.CustomNonbondedForce(self._expression(known))
        force.setName("cgnnp pair spline")
        force.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
        force.setCutoffDistance(self.cutoff_nm)
        for k, table in enumerate(self.tables):
            force.addTabulatedFunction(f"u{k}", openmm.Continuous1DFunction(list(table.energy), 0.0, self.cutoff_nm))
        indicators = known if len(known) > 1 else []
        for k in range(len(indicators)):
            force.addPerParticleParameter(f"is{k}_")
        for name in bead_types:
            force.addParticle([float(name == kind) for kind in indicators])
        for i, j in topology.exclusions.tolist():
            force.addExclusion(i, j)
        return force

    def _known_types(self, bead_types: Sequence[str]) -> list[str]:
        """Return the bead types of the tables.

        Raises:
            ValueError: the system has a bead type, or a pair of bead types, for which there is no table.
        """
        known = list(dict.fromkeys(name for table in self.tables for name in table.pair))
        if unknown := set(bead_types) - set(known):
            raise ValueError(
                f"the pair-spline prior has pair potentials only for the bead types {known}, but the system has also beads "
                f"of the types {sorted(unknown)}: fit the potential to data that have all these bead types"
            )
        sampled, counts = {frozenset(table.pair) for table in self.tables}, Counter(bead_types)
        pairs = [pair for pair in itertools.combinations_with_replacement(counts, 2) if frozenset(pair) not in sampled]
        if unknown_pairs := [f"{a}-{b}" for a, b in pairs if a != b or counts[a] > 1]:
            raise ValueError(
                f"the system has pairs {', '.join(unknown_pairs)}, but the data that the potential was fitted to had only "
                f"{', '.join('-'.join(table.pair) for table in self.tables)}: the potential is not defined for other pairs: "
                "leave such beads out, or fit to data that have these pairs too"
            )
        return known

    def arrays(
        self, bead_types: Sequence[str]
    ) -> tuple[Float[np.ndarray, "tables points"], Int[np.ndarray, "beads"], Int[np.ndarray, "types types"]]:
        """Return the tables as arrays for beads of the given types.

        Returns:
            The energies of all tables (tables, points), kJ/mol, the index of the type of each bead (beads,), and the index
            of the table of each pair of types (types, types), which is -1 if there is none.

        Raises:
            ValueError: there is no table for a bead type, or for a pair of bead types.
        """
        known = self._known_types(bead_types)
        table_of = np.full((len(known), len(known)), -1)
        for k, table in enumerate(self.tables):
            a, b = (known.index(name) for name in table.pair)
            table_of[a, b] = table_of[b, a] = k
        types = np.array([known.index(name) for name in bead_types])
        return np.array([table.energy for table in self.tables]), types, table_of

    def _expression(self, known: list[str]) -> str:
        if len(known) == 1:
            return "u0(r)"
        terms = []
        for k, table in enumerate(self.tables):
            a, b = (known.index(name) for name in table.pair)
            switch = f"is{a}_1*is{b}_2" if a == b else f"(is{a}_1*is{b}_2+is{b}_1*is{a}_2)"
            terms.append(f"{switch}*u{k}(r)")
        return " + ".join(terms)

    @classmethod
    def from_entries(cls, entries: Entries) -> "PairSpline":
        """See `Prior.from_entries`."""
        tables = tuple(map(_table, entries.tables("tables", least=1)))
        return cls(tables, entries.number("cutoff_nm", above=0))


def _table(entry: Entries) -> PairTable:
    first, second = [*entry.texts("pair"), "", ""][:2]
    if not (first and second and len(entry.data["pair"]) == 2):
        raise ValueError(f"{entry.source}: pair is {entry.data['pair']}, expected two bead types: {entry.mend}")
    return PairTable((first, second), entry.number("first_sampled", least=0), tuple(entry.numbers("energy", least=2)))
