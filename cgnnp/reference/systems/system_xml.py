"""Serialized OpenMM Systems from files, read as data: what would run code of theirs is refused first.

OpenMM unpickles the function of a PythonForce, and a TorchForce holds a program, so that reading such a file runs it. What
OpenMM is given is not the file but what the parser here made of it: OpenMM's own parser ends comments and reads CDATA
elsewhere than the standard says, and would find forces that a check of the text had not seen.
"""

import re
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

import openmm

from cgnnp.runtime.errors import SettingError

FORCES = """
AmoebaGeneralizedKirkwoodForce AmoebaMultipoleForce AmoebaTorsionTorsionForce AmoebaVdwForce AmoebaWcaDispersionForce
AndersenThermostat ATMForce CMAPTorsionForce CMMotionRemover ConstantPotentialForce CustomAngleForce CustomBondForce
CustomCentroidBondForce CustomCompoundBondForce CustomCVForce CustomExternalForce CustomGBForce CustomHbondForce
CustomManyParticleForce CustomNonbondedForce CustomTorsionForce CustomVolumeForce DrudeForce DPDForce GayBerneForce
GBSAOBCForce HarmonicAngleForce HarmonicBondForce HippoNonbondedForce LCPOForce MonteCarloAnisotropicBarostat
MonteCarloBarostat MonteCarloFlexibleBarostat MonteCarloMembraneBarostat NonbondedForce OrientationRestraintForce
PeriodicTorsionForce RBTorsionForce RGForce RMSDForce RPMDMonteCarloBarostat
"""
FUNCTIONS = [f"{kind}{n}DFunction" for kind in ("Continuous", "Discrete") for n in (1, 2, 3)]
NATIVE = frozenset(["System", *FORCES.split(), *FUNCTIONS])
"""Types of objects in a System that are numbers and formulas only: OpenMM's own forces and tabulated functions."""

DEEPEST = 40
"""Levels of a file that are read: a force in a CustomCVForce in another is at the eleventh."""


def read_system(path: Path, group: str, setting: str, *, allow_code: bool = False) -> openmm.System:
    """The System of a file; `group` and `setting` are how the user named it, for errors.

    `allow_code` also takes forces that run code from the file, with the rights of whoever reads it.

    Raises:
        ValueError: not XML of a serialized System, or one with forces that run code and are not allowed to.
    """
    where = f"{setting}={path}"
    text = path.read_bytes()
    try:
        kinds, checked = _parse(text)
    except expat.ExpatError as error:
        raise SettingError(group, f"{where}: not a serialized OpenMM System ({error})") from error
    except ValueError as error:
        raise SettingError(group, f"{where}: {error}") from error
    foreign = sorted(kinds - NATIVE)
    if foreign and kinds & {"System"} and not allow_code:
        raise SettingError(
            group,
            f"{where}: holds {', '.join(foreign)}, which is not one of OpenMM's own forces of numbers and formulas: reading "
            "it may run code that the file holds (a PythonForce is a pickle, a TorchForce a program), with your rights. If "
            "you made the file yourself or trust who did, set allow_code=true",
        )
    if "System" not in kinds:
        raise SettingError(
            group,
            f"{where}: not a serialized OpenMM System: holds {', '.join(foreign) or 'no object'}, expected System: write it "
            "with openmm.XmlSerializer.serialize(system)",
        )
    try:
        system = openmm.XmlSerializer.deserialize(checked)
    except Exception as error:  # OpenMM raises its own kind of exception
        raise SettingError(group, f"{where}: not a serialized OpenMM System ({error})") from error
    if not isinstance(system, openmm.System):
        raise SettingError(group, f"{where}: holds {type(system).__name__}, expected System")
    return system


def _parse(text: bytes) -> tuple[set[str], str]:
    """The types of all objects in the text, and its elements and attributes alone, written anew."""
    kinds: set[str] = set()
    parts: list[str] = []
    depth = 0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} levels deep, which no serialized System is")
        kind = attributes.get("type", "")
        if not re.fullmatch(r"-?\d*", kind):  # numbers are types of particles
            kinds.add(kind)
        parts.append(f"<{name}" + "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items()) + ">")

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        parts.append(f"</{name}>")

    def refuse(*_: object) -> None:
        raise ValueError("has a DOCTYPE, which no serialized System has: refused, as it may define entities without end")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = begin, end, refuse
    parser.Parse(text, True)
    return kinds, "".join(['<?xml version="1.0" ?>', *parts])
