"""What every source of frames has in common."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from systems import FAST

from cgnnp.frames.dataset import FramesWriter, count_frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.reference.sampling.langevin import LangevinSource, langevin
from cgnnp.reference.source import Source, StoredSource, data_directory, shard_directory
from cgnnp.runtime.platforms import PlatformChoice

REFERENCE = PlatformChoice("Reference")


@dataclass
class Made(Source):
    """Frames out of nothing: the least that a source has to do."""

    mapping: object
    n_frames: int
    replica: int = 0

    name = "made"
    temperature_K = 300.0

    def atomistic(self):
        raise NotImplementedError

    def box(self):
        return np.eye(3)

    def meta(self, mapping):
        return FramesMeta(mapping, 300.0, 1.0, provenance={"source": "made", "replica": self.replica})

    def provide(self, mapping, shard, n_frames, platform):
        new = n_frames - count_frames(shard)
        array = np.zeros((new, mapping.n_beads, 3))
        FramesWriter(shard, self.meta(mapping)).append(array, array, np.tile(np.eye(3), (new, 1, 1)))


def test_the_shard_of_the_replica_gets_what_the_data_set_lacks(water_27, tmp_path):
    mapping = water_27.mapping
    for replica, n_frames, expected in ((0, 4, [4]), (1, 7, [4, 3]), (1, 6, [4, 3]), (0, 9, [6, 3])):
        directory = Made(mapping, n_frames, replica).complete(mapping, tmp_path, REFERENCE)
        assert [count_frames(directory / f"replica_{k}") for k in range(len(expected))] == expected
    assert len(list(tmp_path.iterdir())) == 1


def test_a_source_that_feeds_one_mapping_says_so(water_27, tmp_path):
    source, mapping = Made(water_27.mapping, 2), water_27.mapping
    other = replace(mapping, name="other")
    with pytest.raises(ValueError, match="Made takes one mapping at a time, but water_cg, other were given"):
        source.provide_together([mapping, other], [tmp_path / "a", tmp_path / "b"], 2, REFERENCE)
    with pytest.raises(ValueError, match="Made cannot store atomistic frames"):
        source.provide_together([mapping], [tmp_path / "a"], 2, REFERENCE, tmp_path / "b")
    assert not list(tmp_path.iterdir())
    source.provide_together([mapping], [tmp_path / "a"], 2, REFERENCE)
    assert count_frames(tmp_path / "a") == 2


def test_the_name_of_the_data_set_knows_all_but_length_and_replica(water_27, tmp_path):
    def directory(**changes):
        source = replace(LangevinSource(water_27.reference, FAST, 5), **changes)
        return data_directory(tmp_path, source.meta(water_27.mapping))

    assert directory() == directory(n_frames=7) == directory(replica=3) == directory(chunk_frames=4)
    assert directory() != directory(protocol=replace(FAST, seed=2))
    assert directory() != directory(protocol=replace(FAST, temperature_K=301.0))
    shard = shard_directory(tmp_path, LangevinSource(water_27.reference, FAST, 5, replica=3).meta(water_27.mapping))
    assert shard == directory() / "replica_3"
    assert langevin(system=water_27.reference, replica=3, seed=4).protocol.seed == 4


def test_a_stored_data_set_is_a_source_that_nothing_is_added_to(water_27, water_27_directory, tmp_path):
    source = StoredSource(water_27_directory)
    assert (source.n_frames, source.temperature_K, source.name) == (8, FAST.temperature_K, "data")
    assert source.mapping.digest == water_27.mapping.digest
    np.testing.assert_allclose(source.box(), LangevinSource(water_27.reference, FAST, 5).box(), atol=1e-6)
    assert source.complete(water_27.mapping, tmp_path, REFERENCE) == water_27_directory
    with pytest.raises(ValueError, match="no frames can be added"):
        source.provide(water_27.mapping, tmp_path, 9, REFERENCE)
    with pytest.raises(ValueError, match="no other mapping"):
        source.atomistic()
    with pytest.raises(ValueError, match="not a data set"):
        StoredSource(tmp_path)
    FramesWriter(tmp_path, source.meta(water_27.mapping))
    with pytest.raises(ValueError, match="holds no frames yet"):
        StoredSource(tmp_path)
