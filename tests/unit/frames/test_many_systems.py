"""Many molecules in one data set, each with a mapping of its own."""

from dataclasses import replace

import numpy as np
import pytest
from systems import identity_mapping

from cgnnp.frames.dataset import FramesWriter, open_frames
from cgnnp.frames.frames import FramesMeta
from cgnnp.frames.many_systems import open_sets, system_folder

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
    with pytest.raises(ValueError, match=r"system_000001/meta\.json: temperature is 310\.0, in system_000000 300\.0"):
        open_sets(tmp_path)
    (tmp_path / "system_1").mkdir()
    with pytest.raises(ValueError, match="has the number of system_"):
        open_sets(tmp_path)
