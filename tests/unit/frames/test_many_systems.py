"""Many molecules in one data set, each with a mapping of its own."""

from dataclasses import replace

import numpy as np
import pytest
from configuration import compose
from systems import hard_gas, identity_mapping

from cgnnp.commands.training import training_plan
from cgnnp.frames.dataset import FramesWriter, open_frames
from cgnnp.frames.many_systems import open_sets, system_folder
from cgnnp.frames.metadata import FramesMeta

META = FramesMeta(identity_mapping({"A": 2}), temperature=300.0, interval=1.0, ensemble="open")


def write(directory, number: int, meta: FramesMeta = META) -> None:
    mapping = identity_mapping({"A": number + 2, "B": 1})
    writer = FramesWriter(system_folder(directory, number), replace(meta, mapping=mapping))
    shape = (2 + number, mapping.n_beads, 3)
    writer.append(np.full(shape, float(number)), np.ones(shape), more={"energies": np.zeros(shape[0])})
    writer.close()


def test_every_system_has_its_own_beads(tmp_path):
    for number in (2, 0, 11, 1):
        write(tmp_path, number)
    sets = open_sets(tmp_path)
    assert [frames.mapping.n_beads for frames in sets] == [3, 4, 5, 14]
    assert [len(frames) for frames in sets] == [2, 3, 4, 13]
    assert sets[3].positions[0, 0, 0] == 11.0
    assert sets[0].energies.shape == (2,)


def test_one_system_is_a_list_of_one(tmp_path):
    write(tmp_path, 3)
    (frames,) = open_sets(system_folder(tmp_path, 3))
    assert frames.content_digest == open_frames(system_folder(tmp_path, 3)).content_digest
    with pytest.raises(FileNotFoundError, match="not a data set"):
        open_sets(tmp_path / "nothing")


def test_systems_that_do_not_go_together_are_refused(tmp_path):
    write(tmp_path, 0)
    write(tmp_path, 1, replace(META, temperature=310.0))
    with pytest.raises(ValueError, match=r"system_000001/meta\.json: temperature is 310\.0, but 300\.0 in system_000000"):
        open_sets(tmp_path)
    (tmp_path / "system_1").mkdir()
    with pytest.raises(ValueError, match="has the same number as system_"):
        open_sets(tmp_path)


def test_the_commands_fit_all_systems_of_a_data_set_together(tmp_path):
    """`data=` and `more_data=` take data sets of many systems: the first is the data, the others are fitted with it."""
    for root, numbers in (("first", (0, 1, 2)), ("second", (0, 3))):
        for number in numbers:
            mapping = identity_mapping({"A": number + 6, "B": 4})
            gas = hard_gas(30, mapping.n_beads, 2.0, diameter=0.2, seed=number, mapping=mapping)
            writer = FramesWriter(system_folder(tmp_path / root, number), replace(gas.meta, ensemble="NVT"))
            writer.append(gas.positions, gas.forces, gas.boxes)
            writer.close()
    more = f"more_data=[{tmp_path / 'second'}]"
    plan = training_plan(compose("train", f"data={tmp_path / 'first'}", more, "simulation=none", "platform=Reference"))
    assert plan.mapping.n_beads == 10
    assert [frames.mapping.n_beads for frames in plan.more.values()] == [11, 12, 10, 13]
    assert all(path.name.startswith("system_00000") for path in plan.more)
