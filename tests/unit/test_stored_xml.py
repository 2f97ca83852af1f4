"""Nothing that a System or State file may hold is run by reading it."""

import contextlib
import os
from pathlib import Path

import numpy as np
import openmm
import pytest

from cgnnp.stored_xml import read_state, read_system


class Trap:
    """A callable whose unpickling makes a directory."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __call__(self, state: openmm.State) -> tuple[float, np.ndarray]:
        return 0.0, np.zeros((2, 3))

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def two_particles(*forces: openmm.Force) -> openmm.System:
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors([2, 0, 0], [0.3, 2, 0], [0, 0.1, 2])
    for force in forces:
        system.addForce(force)
    for _ in range(2):
        system.addParticle(18.015)
    return system


def harmless() -> openmm.System:
    bond = openmm.HarmonicBondForce()
    bond.addBond(0, 1, 0.1 + 1e-17 / 3, 1 / 3)
    pair = openmm.CustomNonbondedForce("f(r) * step(3 - r)")
    pair.setName("characters that XML escapes: <a & 'b'>")
    pair.addTabulatedFunction("f", openmm.Continuous1DFunction([0.0, 1 / 3, 2.0], 0.0, 1.0))
    pair.addParticle([])
    pair.addParticle([])
    return two_particles(bond, pair, openmm.CMMotionRemover())


def trapped(marker: Path) -> str:
    return openmm.XmlSerializer.serialize(two_particles(openmm.PythonForce(Trap(marker))))


def in_a_comment(xml: str) -> str:
    """The force where ElementTree sees a comment and OpenMM's parser an element."""
    start, end = xml.index("<Force "), xml.index("</Force>") + len("</Force>")
    return f"{xml[:start]}<!-- > {xml[start:end]} -->{xml[end:]}"


def as_a_table(xml: str) -> str:
    """The force where a tabulated function of a harmless force belongs."""
    start, end = xml.index("<Force "), xml.index("</Force>") + len("</Force>")
    trap = xml[start:end].replace("Force ", "Function ").replace("/Force>", "/Function>")
    other = openmm.XmlSerializer.serialize(harmless())
    return other.replace("<Functions>", f"<Functions>{trap}")


DISGUISES = {
    "plain": lambda xml: xml,
    "another tag": lambda xml: xml.replace("<Force ", "<F ").replace("</Force>", "</F>"),
    "in a comment": in_a_comment,
    "as a table": as_a_table,
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_the_trap_works(disguise, tmp_path):
    """OpenMM by itself runs the code in the file, wherever it stands."""
    xml = DISGUISES[disguise](trapped(tmp_path / "marker"))
    with contextlib.suppress(Exception):  # what was made is not a callable, and how OpenMM minds is its own affair
        openmm.XmlSerializer.deserialize(xml)
    assert (tmp_path / "marker").is_dir()


@pytest.mark.parametrize("disguise", [name for name in DISGUISES if name != "in a comment"])
def test_code_in_a_system_is_refused_and_not_run(disguise, tmp_path):
    file, marker = tmp_path / "system.xml", tmp_path / "marker"
    file.write_text(DISGUISES[disguise](trapped(marker)))
    with pytest.raises(ValueError, match=r"system\.xml: has forces of kind PythonForce.*build the system from its data"):
        read_system(file)
    assert not marker.exists()


def test_code_in_a_comment_of_a_system_stays_a_comment(tmp_path):
    file, marker = tmp_path / "system.xml", tmp_path / "marker"
    file.write_text(in_a_comment(trapped(marker)))
    assert read_system(file).getNumForces() == 0
    assert not marker.exists()


@pytest.mark.parametrize("disguise", DISGUISES)
def test_code_is_not_run_when_a_state_is_expected(disguise, tmp_path):
    file, marker = tmp_path / "state.xml", tmp_path / "marker"
    file.write_text(DISGUISES[disguise](trapped(marker)))
    with pytest.raises(ValueError, match=r"state\.xml: describes a System, expected a State"):
        read_state(file)
    assert not marker.exists()


def test_forces_in_a_state_are_refused(tmp_path):
    file = tmp_path / "state.xml"
    force = '<Parameters><Force type="PythonForce" function="80"/></Parameters>'
    file.write_text(f'<State type="State" version="1">{force}</State>')
    with pytest.raises(ValueError, match=r"state\.xml: holds PythonForce"):
        read_state(file)


def collective_variable() -> openmm.Force:
    force = openmm.CustomCVForce("x")
    force.addCollectiveVariable("x", openmm.HarmonicBondForce())
    return force


@pytest.mark.parametrize(
    ("force", "kind"),
    [
        (collective_variable(), "CustomCVForce"),
        (openmm.CustomExternalForce("x"), "CustomExternalForce"),
        (openmm.MonteCarloBarostat(1.0, 300.0), "MonteCarloBarostat"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_forces_that_are_not_known_to_be_harmless_are_refused(force, kind, tmp_path):
    file = tmp_path / "system.xml"
    file.write_text(openmm.XmlSerializer.serialize(two_particles(openmm.CMMotionRemover(), force)))
    with pytest.raises(ValueError, match=f"has forces of kind .*{kind}.*; only CMMotionRemover"):
        read_system(file)


def test_a_system_comes_back_as_it_was(tmp_path):
    xml = openmm.XmlSerializer.serialize(harmless())
    (tmp_path / "system.xml").write_text(xml)
    assert openmm.XmlSerializer.serialize(read_system(tmp_path / "system.xml")) == xml


def state() -> openmm.State:
    context = openmm.Context(harmless(), openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions([[1 / 3, -1e-7, 0], [0.5, 0.2, 2 / 7]])
    context.setVelocitiesToTemperature(300.0, 1)
    context.setTime(0.125)
    return context.getState(positions=True, velocities=True, forces=True, energy=True, parameters=True)


def test_a_state_comes_back_as_it_was(tmp_path):
    before = state()
    (tmp_path / "state.xml").write_text(xml := openmm.XmlSerializer.serialize(before))
    after = read_state(tmp_path / "state.xml")
    assert openmm.XmlSerializer.serialize(after) == xml
    assert after.getTime() == before.getTime()
    for quantity in ("getPositions", "getVelocities", "getForces"):
        values = [getattr(one, quantity)(asNumpy=True)._value for one in (before, after)]
        np.testing.assert_array_equal(values[1], values[0])


@pytest.mark.parametrize("keep", [0, 0.3, 0.98])
def test_truncated_files_are_refused(keep, tmp_path):
    for name, read, thing in (("system.xml", read_system, harmless()), ("state.xml", read_state, state())):
        xml = openmm.XmlSerializer.serialize(thing)
        (tmp_path / name).write_text(xml[: int(keep * len(xml))])
        with pytest.raises(ValueError, match=f"{name}: missing, damaged or truncated XML"):
            read(tmp_path / name)


def test_files_that_are_not_xml_or_not_there_are_refused(tmp_path):
    (tmp_path / "binary.xml").write_bytes(b"\xff\xfe\x00\x80")
    for read in (read_system, read_state):
        for name in ("binary.xml", "gone.xml"):
            with pytest.raises(ValueError, match=f"{name}: missing, damaged"):
                read(tmp_path / name)


def test_files_of_the_other_kind_are_refused(tmp_path):
    (tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(harmless()))
    (tmp_path / "state.xml").write_text(openmm.XmlSerializer.serialize(state()))
    with pytest.raises(ValueError, match="describes a System, expected a State"):
        read_state(tmp_path / "system.xml")
    with pytest.raises(ValueError, match="describes a State, expected a System"):
        read_system(tmp_path / "state.xml")
    (tmp_path / "mixed.xml").write_text('<System type="VerletIntegrator" version="1"/>')
    with pytest.raises(ValueError, match="describes a VerletIntegrator, expected a System"):
        read_system(tmp_path / "mixed.xml")


def test_what_openmm_itself_cannot_read_is_refused(tmp_path):
    (tmp_path / "system.xml").write_text('<System type="System" version="1"/>')
    with pytest.raises(ValueError, match="OpenMM cannot read it"):
        read_system(tmp_path / "system.xml")
