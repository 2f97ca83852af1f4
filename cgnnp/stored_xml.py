"""OpenMM's XML read from files, without letting it run code: a PythonForce in it is a pickle that OpenMM would load.

OpenMM makes objects of whatever elements its own parser finds, by their attribute `type` and not by their tag. So every
`type` is looked at, and OpenMM is given what was looked at, written again, and not the file: its parser sees elements
inside some comments.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import openmm

SAFE_FORCES = (
    *("CMMotionRemover", "CustomAngleForce", "CustomBondForce", "CustomNonbondedForce", "CustomTorsionForce"),
    *("HarmonicAngleForce", "HarmonicBondForce", "NonbondedForce", "PeriodicTorsionForce", "RBTorsionForce", "TorchForce"),
)
TABLES = tuple(f"{kind}{n}DFunction" for kind in ("Continuous", "Discrete") for n in (1, 2, 3))


def read_system(path: Path) -> openmm.System:
    """A System from a file.

    Raises:
        ValueError: damaged, not a System, or with a force of a kind that is not known to be harmless.
    """
    root = _root(path, "System")
    if unknown := _kinds(root) - {*SAFE_FORCES, *TABLES}:
        raise ValueError(
            f"{path}: has forces of kind {', '.join(sorted(unknown))}; only {', '.join(SAFE_FORCES)} are read "
            "from files, since others may hold code: build the system from its data instead"
        )
    return _deserialize(path, root)


def read_state(path: Path) -> openmm.State:
    """A State from a file.

    Raises:
        ValueError: damaged, or not a State.
    """
    root = _root(path, "State")
    if unknown := _kinds(root):
        raise ValueError(f"{path}: holds {', '.join(sorted(unknown))}, which no State does: not read from a file")
    return _deserialize(path, root)


def _root(path: Path, kind: str) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(path.read_text())
    except (ElementTree.ParseError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path}: missing, damaged or truncated XML ({error})") from error
    if root.tag != kind or root.get("type") != kind:
        raise ValueError(f"{path}: describes a {root.get('type') or root.tag}, expected a {kind}")
    return root


def _kinds(root: ElementTree.Element) -> set[str]:
    """Kinds of everything in it that OpenMM may make an object of."""
    return {element.attrib["type"] for element in root.iter() if element is not root and "type" in element.attrib}


def _deserialize(path: Path, root: ElementTree.Element) -> Any:
    try:
        return openmm.XmlSerializer.deserialize(ElementTree.tostring(root, encoding="unicode"))
    except openmm.OpenMMException as error:
        raise ValueError(f"{path}: OpenMM cannot read it ({error})") from error
