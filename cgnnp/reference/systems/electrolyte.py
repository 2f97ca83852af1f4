"""1:1 salts in water at a chosen concentration, with two published sets of ion parameters and three water models.

The volume of the box follows from the number n of ion pairs and their concentration c, V = n / (c N_A). Water fills the
volume that the salt leaves, at 0.997 g/mL. One mole of salt takes its apparent molar volume, in cm^3/mol at 25 C with c in
mol/L,

    V_phi(c) = V_0 + 1.868 sqrt(c).

V_0 is the sum of the partial molar volumes of the ions at infinite dilution, on the conventional scale where that of H+ is
zero (Millero 1971, 10.1021/cr60270a001). The second term has the Debye-Hueckel limiting slope of 1:1 salts (Redlich and
Meyer 1964, 10.1021/cr60229a001), which describes alkali halides up to a few mol/L. When one more mole of salt is added to
the same amount of water, the volume grows by the partial molar volume

    V_s = V_phi + n dV_phi/dn = (V_phi + 1.868 sqrt(c) / 2) / (1 + c 1.868 sqrt(c) / 2000),

where the rise of the concentration, dc/dn = (1 - c V_s) / V, is taken into account. The volume fraction of the solvent is
1 - c V_s, which activity coefficients need (`cgnnp.analysis.kirkwood_buff`). All these volumes are those of real salts in
real water. The pressure of a model is close to 1 bar in this box only if the model has the same density.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float
from openmm import Vec3, app, unit

from cgnnp.dynamics.lattice import SPCE, TIP, WATER_MOLAR_MASS, WaterShape, add_waters, place_waters, simple_cubic, spread
from cgnnp.reference.systems.dielectric import solvent
from cgnnp.reference.systems.system import ReferenceSystem, pme
from cgnnp.reference.systems.time_steps import RIGID_FS
from cgnnp.runtime.errors import SettingError
from cgnnp.units import AVOGADRO_PER_NM3, number_density, solvent_fraction

log = logging.getLogger("cgnnp")

SWITCH_WIDTH = 0.1
"""Width of the range below the cutoff in which the Lennard-Jones potential is switched to zero, nm."""

WATER_G_ML = 0.997
DENSEST_WATER_G_ML = 1.3
"""Highest density of water that is accepted: liquid water freezes under pressure before it becomes denser."""

TRUSTED_M = 6.0
"""Concentration above which the volumes of salts are extrapolated, mol/L: sodium chloride is saturated there."""

LEAST_WATERS_PER_ION = 2
"""Smallest number of waters per ion: with fewer, the system is a molten salt rather than a solution."""

CATIONS = {"Li": -0.88, "Na": -1.21, "K": 9.02, "Rb": 14.07, "Cs": 21.34}
ANIONS = {"F": -1.16, "Cl": 17.83, "Br": 24.71, "I": 36.22}
"""Partial molar volumes of the ions at infinite dilution and 25 C, cm^3/mol."""

LIMITING_SLOPE = 1.868
"""Limiting slope of the apparent molar volumes of 1:1 salts in water at 25 C, cm^3/mol (L/mol)^(1/2)."""

WATERS = {"spce": SPCE, "tip3p": TIP, "tip4pew": TIP}
"""Geometries of the water models, by the names of OpenMM's force field files."""

IONS: dict[str, dict[str, tuple[str, ...]]] = {
    "smith_dang": {"water": ("spce",), "cation": ("Na",), "anion": ("Cl",)},
    "joung_cheatham": {"water": tuple(WATERS), "cation": tuple(CATIONS), "anion": tuple(ANIONS)},
}
"""Water models, cations and anions for which each set of ion parameters was made."""


@dataclass(frozen=True)
class Site:
    """Mass (Da), charge (e) and Lennard-Jones parameters (nm, kJ/mol) of an atom."""

    mass: float
    charge: float
    sigma: float
    epsilon: float


SITES = {
    "O": Site(15.9994, -0.8476, 0.3169, 0.65),
    "H": Site(1.008, 0.4238, 0.1, 0.0),
    "Na": Site(22.9898, 1.0, 0.2583, 0.4184),
    "Cl": Site(35.453, -1.0, 0.4401, 0.4184),
}
"""Parameters of SPC/E water and of the ions of Smith and Dang, by element."""


def electrolyte(
    *,
    cation: str = "Na",
    anion: str = "Cl",
    water: str = "spce",
    ions: str = "smith_dang",
    concentration_M: float = 4.016,
    n_pairs: int = 64,
    n_water: int | None = None,
    cutoff_nm: float = 1.2,
    eps_r: float | None = None,
    eps_r_stderr: float | None = None,
    name: str = "electrolyte",
) -> ReferenceSystem:
    """Return a 1:1 salt in rigid water in a cubic box, with PME, Lorentz-Berthelot mixing and a switch over the last 0.1 nm.

    The default is the sodium chloride solution of Zhang, Pagotto, Gould and Duignan (arXiv 2310.12535): 64 ion pairs and 810
    waters in a box of 2.98 nm. Ions and waters start on a simple cubic lattice. The ions are far from each other, with
    alternating signs, and the waters have random orientations: equilibrate before use.

    >>> salt = electrolyte(cation="K", water="tip4pew", ions="joung_cheatham", n_pairs=8, concentration_M=1.0, cutoff_nm=1.0)
    >>> salt.description["n_water"], round(salt.description["box_nm"], 3)
    (430, 2.368)

    Args:
        cation: "Li", "Na", "K", "Rb" or "Cs".
        anion: "F", "Cl", "Br" or "I".
        water: rigid water model: "spce", "tip3p" or "tip4pew".
        ions: set of ion parameters: "joung_cheatham" (2008, 10.1021/jp8001614; OpenMM ships one set for each water model) or
            "smith_dang" (1994, 10.1063/1.466363; sodium chloride in SPC/E only).
        concentration_M: concentration of ion pairs in the volume of the box, mol/L.
        n_pairs: number of ion pairs.
        n_water: number of water molecules; by default as many as fit.
        cutoff_nm: cutoff of Lennard-Jones and of real-space Coulomb interactions, nm.
        eps_r: dielectric constant of the solvent, which is recorded with the frames; by default that of the water model in
            `cgnnp.reference.systems.dielectric.TABLE`.
        eps_r_stderr: standard error of `eps_r`, if it was measured.
        name: name that is stored with the data.

    Raises:
        ValueError: the ions or the water are not in the set of parameters, there are fewer than 2 waters per ion, the cutoff
            is too large for the box or too small for the switch, or a number is not positive, finite or (for numbers of
            particles) whole.
    """
    _check_choice(ions, water, cation, anion)
    left_out = solvent(eps_r, water, eps_r_stderr)
    infinite_dilution = CATIONS[cation] + ANIONS[anion]
    volume = _box_volume(concentration_M, n_pairs)
    n_water = _n_water(concentration_M, n_pairs, infinite_dilution, n_water)
    if concentration_M > TRUSTED_M:
        log.warning(
            "concentration_M=%g: above %g mol/L the volumes of salts are extrapolated, so the density may be wrong: "
            "set n_water to correct it",
            *(concentration_M, TRUSTED_M),
        )
    length = volume ** (1 / 3)
    if not SWITCH_WIDTH < cutoff_nm <= length / 2:
        raise SettingError(
            "system",
            f"cutoff_nm={cutoff_nm:g}: must be above {SWITCH_WIDTH} nm (the width of the switch) and at most half "
            f"the box ({length / 2:.3f} nm for {n_pairs} pairs at {concentration_M:g} mol/L): change cutoff_nm, raise "
            "n_pairs or lower concentration_M",
        )
    topology = _topology(n_water, (cation, anion), n_pairs)
    topology.setPeriodicBoxVectors(np.eye(3) * length * unit.nanometer)
    positions = _positions(n_water, n_pairs, length, WATERS[water])
    if ions == "smith_dang":
        force_field, system = "SPC/E, Smith-Dang ions", _smith_dang(topology, cutoff_nm)
    else:
        force_field = f"amber14/{water}.xml"
        topology, system, positions = _openmm_system(force_field, topology, positions, cutoff_nm)
    system.setDefaultPeriodicBoxVectors(*(Vec3(*row) for row in np.eye(3) * length))
    description = {
        "name": name,
        "force_field": f"{force_field}, rigid, PME",
        "cation": cation,
        "anion": anion,
        "water": water,
        "ions": ions,
        "concentration_M": float(concentration_M),
        "n_pairs": n_pairs,
        "n_water": n_water,
        "box_nm": length,
        "cutoff_nm": cutoff_nm,
    }
    molar_volume = partial_molar_volume(infinite_dilution, concentration_M)
    left_out |= {"volume_fraction": solvent_fraction(concentration_M, molar_volume)}
    return ReferenceSystem(name, topology, system, positions, description, left_out, RIGID_FS)


def apparent_molar_volume(volume_at_infinite_dilution: float, concentration_M: float) -> float:
    """Return the apparent molar volume of a salt, V_0 + 1.868 sqrt(c), in cm^3/mol, with c in mol/L."""
    return volume_at_infinite_dilution + LIMITING_SLOPE * float(np.sqrt(concentration_M))


def partial_molar_volume(volume_at_infinite_dilution: float, concentration_M: float) -> float:
    """Return the partial molar volume of a salt, dV/dn at a constant amount of water, in cm^3/mol, with c in mol/L."""
    rise = LIMITING_SLOPE * float(np.sqrt(concentration_M)) / 2
    return (apparent_molar_volume(volume_at_infinite_dilution, concentration_M) + rise) / (1 + concentration_M * rise / 1000)


def _check_choice(ions: str, water: str, cation: str, anion: str) -> None:
    """Refuse water models and ions for which the set of ion parameters was not made."""
    if ions not in IONS:
        raise SettingError("system", f"ions={ions}: no such set of ions: choose one of {', '.join(IONS)}")
    if water not in WATERS:
        raise SettingError("system", f"water={water}: no such water: choose one of {', '.join(WATERS)}")
    for key, value in (("water", water), ("cation", cation), ("anion", anion)):
        if value not in IONS[ions][key]:
            known = IONS[ions][key]
            more = [f"; ions={o} has {', '.join(has[key])}" for o, has in IONS.items() if len(has[key]) > len(known)]
            where = "" if key == "water" else f" in {water}"
            raise SettingError(
                "system",
                f"{key}={value}: ions={ions} has only {', '.join(known)}{where}: choose one of these{''.join(more)}",
            )


def _box_volume(concentration: float, n_pairs: int) -> float:
    if not 0 < concentration < np.inf:
        raise SettingError(
            "system", f"concentration_M={concentration}: must be above 0 mol/L and finite; for neat water use system=water"
        )
    if not isinstance(n_pairs, int | np.integer) or n_pairs < 1:
        raise SettingError(
            "system", f"n_pairs={n_pairs}: must be a whole number, 1 or more; for neat water use system=water"
        )
    return float(n_pairs / (concentration * AVOGADRO_PER_NM3))


def _n_water(concentration: float, n_pairs: int, infinite_dilution: float, given: int | None) -> int:
    """Return the number of waters that was given, or the number that fits beside the salt if none was given."""
    molar, volume = apparent_molar_volume(infinite_dilution, concentration), _box_volume(concentration, n_pairs)
    room = volume - n_pairs * molar * 1e-3 / AVOGADRO_PER_NM3
    fitting, least = max(0, round(room * number_density(WATER_G_ML, WATER_MOLAR_MASS))), 2 * n_pairs * LEAST_WATERS_PER_ION
    if fitting < least:
        raise SettingError(
            "system",
            f"concentration_M={concentration:g}: {n_pairs} pairs of {molar:.1f} cm^3/mol leave room for only {fitting} "
            f"waters in {volume:.3f} nm^3. This is less than {LEAST_WATERS_PER_ION} per ion and no longer a solution: lower "
            "the concentration",
        )
    if given is None:
        return fitting
    most = int(room * number_density(DENSEST_WATER_G_ML, WATER_MOLAR_MASS))
    if not isinstance(given, int | np.integer) or not least <= given <= most:
        raise SettingError(
            "system",
            f"n_water={given}: must be a whole number, at least {least} ({LEAST_WATERS_PER_ION} per ion) and at most "
            f"{most} (water of {DENSEST_WATER_G_ML:g} g/mL beside {n_pairs} pairs at {concentration:g} mol/L): "
            f"change n_water, or leave it out ({fitting} waters fit at {WATER_G_ML:g} g/mL)",
        )
    return given


def _topology(n_water: int, ions: tuple[str, str], n_pairs: int) -> Any:
    """Return the topology of waters, cations and anions, in this order, with the names of OpenMM's force fields."""
    topology = app.Topology()
    add_waters(topology, n_water)
    for symbol in ions:
        chain = topology.addChain()
        for _ in range(n_pairs):
            residue = topology.addResidue("IOD" if symbol == "I" else symbol.upper(), chain)
            topology.addAtom(symbol.upper(), app.Element.getBySymbol(symbol), residue)
    return topology


def _positions(n_water: int, n_pairs: int, length: float, shape: WaterShape) -> Float[np.ndarray, "atoms 3"]:
    points = simple_cubic(2 * n_pairs + n_water, length)
    ions = spread(points, 2 * n_pairs, length)
    waters = np.delete(points, ions, axis=0)
    return np.concatenate([place_waters(waters, shape), points[ions[::2]], points[ions[1::2]]])


def _openmm_system(
    file: str, topology: Any, positions: Float[np.ndarray, "atoms 3"], cutoff: float
) -> tuple[Any, Any, Float[np.ndarray, "particles 3"]]:
    """Return topology, System and positions (nm) with the parameters and virtual sites of an OpenMM force field file."""
    field = app.ForceField(file)
    modeller = app.Modeller(topology, positions * unit.nanometer)
    modeller.addExtraParticles(field)
    system = field.createSystem(
        modeller.topology,
        **pme(cutoff),
        switchDistance=(cutoff - SWITCH_WIDTH) * unit.nanometer,
        rigidWater=True,
        removeCMMotion=False,
    )
    return modeller.topology, system, np.array(modeller.positions.value_in_unit(unit.nanometer))


def _smith_dang(topology: Any, cutoff: float) -> Any:
    """Return a System of rigid SPC/E water and Smith-Dang ions. Mixing is Lorentz-Berthelot, which is OpenMM's default."""
    system, force = openmm.System(), openmm.NonbondedForce()
    for atom in topology.atoms():
        site = SITES[atom.element.symbol]
        system.addParticle(site.mass)
        force.addParticle(site.charge, site.sigma, site.epsilon)
    for residue in topology.residues():
        if residue.name != "HOH":
            continue
        oxygen, *hydrogens = (atom.index for atom in residue.atoms())
        for i, j, distance in (
            *((oxygen, hydrogen, SPCE.oh_nm) for hydrogen in hydrogens),
            (*hydrogens, SPCE.hh_nm),
        ):
            system.addConstraint(i, j, distance)
            force.addException(i, j, 0.0, 1.0, 0.0)
    force.setNonbondedMethod(openmm.NonbondedForce.PME)
    force.setCutoffDistance(cutoff)
    force.setUseSwitchingFunction(True)
    force.setSwitchingDistance(cutoff - SWITCH_WIDTH)
    system.addForce(force)
    return system
