"""Read serialized OpenMM Systems from files as data. Files that would run code are refused before OpenMM reads them.

OpenMM unpickles the function of a PythonForce, and a TorchForce holds a program, so reading such a file runs its code. The
parser here checks the file and writes its elements as new XML, which OpenMM reads instead of the file. OpenMM's own parser
deviates from the XML standard in comments and CDATA, so in the file it could find forces that the check had missed.
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
"""Types of objects in a System that hold only numbers and formulas: OpenMM's own forces and tabulated functions."""

DEEPEST = 40
"""Largest depth of nested XML elements that is read. A force in a CustomCVForce in another CustomCVForce has depth 11."""


def read_system(path: Path, group: str, setting: str, *, allow_code: bool = False) -> openmm.System:
    """Read the System from a file. Error messages name the file by `setting` and the `group` of the configuration.

    With `allow_code`, forces that run code from the file are accepted too. The code has the rights of the user.

    Raises:
        ValueError: the file is not the XML of a serialized System, or has forces that run code without `allow_code`.
    """
    where = f"{setting}={path}"
    text = path.read_bytes()
    try:
        kinds, checked = _parse(text)
    except expat.ExpatError as error:
        raise SettingError(group, f"{where}: this is not a serialized OpenMM System ({error})") from error
    except ValueError as error:
        raise SettingError(group, f"{where}: {error}") from error
    foreign = sorted(kinds - NATIVE)
    if foreign and kinds & {"System"} and not allow_code:
        raise SettingError(
            group,
            f"{where}: holds {', '.join(foreign)}, which is not one of OpenMM's own forces of numbers and formulas. Reading "
            "it may run code from the file with your rights (a PythonForce is a pickle, a TorchForce a program). If you "
            "made the file yourself or trust whoever did, set allow_code=true",
        )
    if "System" not in kinds:
        raise SettingError(
            group,
            f"{where}: this is not a serialized OpenMM System: it holds {', '.join(foreign) or 'no object'}, expected "
            "System: write it with openmm.XmlSerializer.serialize(system)",
        )
    try:
        system = openmm.XmlSerializer.deserialize(checked)
    except Exception as error:  # OpenMM raises its own type of exception
        raise SettingError(group, f"{where}: this is not a serialized OpenMM System ({error})") from error
    if not isinstance(system, openmm.System):
        raise SettingError(group, f"{where}: holds {type(system).__name__}, expected System")
    return system


def _parse(text: bytes) -> tuple[set[str], str]:
    """Return the types of all objects in the text, and new XML with only its elements and attributes."""
    kinds: set[str] = set()
    parts: list[str] = []
    depth = 0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"elements are nested more than {DEEPEST} levels deep, which no serialized System needs")
        kind = attributes.get("type", "")
        if not re.fullmatch(r"-?\d*", kind):  # numbers are types of particles, not of objects
            kinds.add(kind)
        parts.append(f"<{name}" + "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items()) + ">")

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        parts.append(f"</{name}>")

    def refuse(*_: object) -> None:
        raise ValueError("has a DOCTYPE, which no serialized System needs and which may expand to any amount of text")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = begin, end, refuse
    parser.Parse(text, True)
    return kinds, "".join(['<?xml version="1.0" ?>', *parts])
