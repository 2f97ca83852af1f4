"""Files that bring code of their own: none of it runs unless the user says that it may."""

import os
from pathlib import Path

import openmm
import pytest
from openmm import app

from cgnnp.reference.systems.openmm_files import openmm_files
from cgnnp.reference.systems.system_xml import FORCES, read_system
from cgnnp.reference.trajectories.file_atoms import describe_files


class Payload:
    """What a PythonForce is made of; unpickling it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self, state):
        return 0.0, None

    def __reduce__(self):
        return os.system, (f"touch '{self.file}'",)


def system_of(*forces: openmm.Force) -> openmm.System:
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*(openmm.Vec3(*row) for row in ((3, 0, 0), (0, 3, 0), (0, 0, 3))))
    system.addParticle(22.99)
    force = openmm.NonbondedForce()
    force.addParticle(1.0, 0.3, 0.1)
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    for one in (force, *forces):
        system.addForce(one)
    return system


def files(folder: Path, text: str) -> dict[str, str]:
    """The text as system.xml, and a topology beside it."""
    topology = app.Topology()
    topology.addAtom("NA", app.element.sodium, topology.addResidue("NA", topology.addChain()))
    topology.setPeriodicBoxVectors(
        [openmm.Vec3(3, 0, 0), openmm.Vec3(0, 3, 0), openmm.Vec3(0, 0, 3)] * openmm.unit.nanometer
    )
    with (folder / "start.pdb").open("w") as file:
        app.PDBFile.writeFile(topology, [openmm.Vec3(1, 1, 1)] * openmm.unit.nanometer, file)
    (folder / "system.xml").write_text(text)
    return {"system_xml": str(folder / "system.xml"), "topology": str(folder / "start.pdb")}


def hidden_in_comment(text: str) -> str:
    """A force that the standard sees inside a comment, and OpenMM's parser does not."""
    first = text.index("<Force ", text.index("NonbondedForce"))
    end = text.index("</Forces>", first)
    return text[:first] + "<!-- > " + text[first:end] + "<x -->" + text[end:]


@pytest.fixture
def attack(tmp_path):
    """The text of a System whose deserialisation makes a file, and that file."""
    ran = tmp_path / "ran"
    return openmm.XmlSerializer.serialize(system_of(openmm.PythonForce(Payload(ran)))), ran


def test_the_payload_is_one(attack):
    text, ran = attack
    openmm.XmlSerializer.deserialize(text)
    assert ran.exists()


def test_a_python_force_is_refused_before_it_is_unpickled(attack, tmp_path):
    text, ran = attack
    given = files(tmp_path, text)
    with pytest.raises(ValueError, match=r"system_xml=.*holds PythonForce.*set allow_code=true"):
        openmm_files(**given)
    with pytest.raises(ValueError, match=r"rigid=.*holds PythonForce.*set allow_code=true"):
        describe_files(given["topology"], rigid=given["system_xml"])
    assert not ran.exists()
    openmm_files(**given, allow_code=True)
    assert ran.exists()


@pytest.mark.parametrize("kind", ["TorchForce", "UnknownForce", "PythonForce "])
def test_only_forces_of_openmm_itself_are_read(tmp_path, kind):
    text = openmm.XmlSerializer.serialize(system_of()).replace('type="NonbondedForce"', f'type="{kind}"')
    with pytest.raises(ValueError, match=f"holds {kind}, which is not one of OpenMM's own forces"):
        openmm_files(**files(tmp_path, text))


def test_forces_inside_forces_are_looked_at(attack, tmp_path):
    _, ran = attack
    inner = openmm.CustomCVForce("a")
    inner.addCollectiveVariable("a", openmm.PythonForce(Payload(ran)))
    outer = openmm.CustomCVForce("b")
    outer.addCollectiveVariable("b", inner)
    with pytest.raises(ValueError, match="holds PythonForce"):
        openmm_files(**files(tmp_path, openmm.XmlSerializer.serialize(system_of(outer))))
    assert not ran.exists()


def test_what_another_parser_would_see_is_not_given_to_it(attack, tmp_path):
    text, ran = attack
    openmm_files(**files(tmp_path, hidden_in_comment(text)))
    escaped = text.replace('type="PythonForce"', 'type="&#x50;ythonForce"')
    cdata = text.replace("<Constraints/>", "<Constraints><![CDATA[]]></Constraints>")
    for other in (escaped, cdata):
        with pytest.raises(ValueError, match="holds PythonForce"):
            openmm_files(**files(tmp_path, other))
    assert not ran.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><System type="System" x="&b;"/>',
            "DOCTYPE",
        ),
        ("<a>" * 100 + "</a>" * 100, "levels deep"),
        ('<State type="State" version="1"/>', "holds State, expected System"),
        ("", "not a serialized OpenMM System"),
        ("\0\1\2", "not a serialized OpenMM System"),
    ],
)
def test_what_is_no_system_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        openmm_files(**files(tmp_path, text))


def test_systems_without_code_come_out_as_they_were(tmp_path):
    native = openmm.CustomCVForce("a+1")
    native.addCollectiveVariable("a", openmm.HarmonicBondForce())
    native.addTabulatedFunction("t", openmm.Continuous1DFunction([0, 1, 2], 0, 1))
    bond = openmm.CustomBondForce("k*(r < 1)*step(r-0.5)")  # characters that are escaped
    bond.addPerBondParameter("k")
    system = system_of(native, bond)
    (path := tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    assert openmm.XmlSerializer.serialize(read_system(path, "system", "system_xml")) == path.read_text()


def test_the_list_of_forces_has_every_one_of_openmm():
    """A new one of OpenMM is to be looked at and entered, or left out as PythonForce is."""
    bases = {"Force", "PythonForce", "TorchForce"}
    kinds = {name for name in dir(openmm) if isinstance(getattr(openmm, name), type)}
    found = {name for name in kinds if issubclass(getattr(openmm, name), openmm.Force)} - bases
    assert found <= set(FORCES.split())
