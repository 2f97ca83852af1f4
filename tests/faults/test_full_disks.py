"""A full disk: the message names the file or folder, nothing half-written is left, and what was there before still is."""

import contextlib
import copy
import logging
import resource
import sys

import numpy as np
import pytest
import torch
from systems import hard_gas

from cgnnp.frames.dataset import FramesWriter, count_frames, open_frames
from cgnnp.models.nequip import NequIP
from cgnnp.runtime.storage import check_file, write_checked, write_file
from cgnnp.simulation.potential_files import load, save_bundle
from cgnnp.training.checkpoints import WholeCheckpointIO
from cgnnp.workflow.run_folder import start_logging


@contextlib.contextmanager
def room_for(n_bytes: int):
    """No file of this process can grow beyond so many bytes meanwhile; a full disk fails in the same calls."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(directory) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.mark.parametrize("write", [write_file, write_checked])
def test_a_file_that_does_not_fit(write, tmp_path):
    path = tmp_path / "x.json"
    write(path, b"before")
    there = names(tmp_path)
    with room_for(1000), pytest.raises(OSError, match=r"x\.json: cannot be written \(File too large\)"):
        write(path, bytes(5000))
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == there
    check_file(path, "")


def test_a_chunk_that_does_not_fit(tmp_path):
    frames = hard_gas(30, 24, 1.5, diameter=0.2, seed=1)
    writer = FramesWriter(tmp_path, frames.meta)
    arrays = frames.positions, frames.forces, frames.boxes
    writer.append(*(array[:2] for array in arrays))
    with room_for(4000), pytest.raises(OSError, match=r"chunk_000001: cannot be written"):
        writer.append(*arrays)
    assert names(tmp_path) == {"meta.json", "chunk_000000", ".lock"}
    writer.append(*arrays)
    assert count_frames(tmp_path) == len(open_frames(tmp_path)) == 32


def test_a_checkpoint_that_does_not_fit(tmp_path):
    file = tmp_path / "last.ckpt"
    WholeCheckpointIO().save_checkpoint({"weights": torch.zeros(3)}, file)
    there = names(tmp_path)
    with room_for(4000), pytest.raises(OSError, match=r"last\.ckpt: cannot be written"):
        WholeCheckpointIO().save_checkpoint({"weights": torch.zeros(3000)}, file)
    assert names(tmp_path) == there
    check_file(file, "")
    assert torch.load(file)["weights"].shape == (3,)


@pytest.mark.parametrize("room", [300, 8000])
def test_a_potential_that_does_not_fit(room, tmp_path):
    frames = hard_gas(3, 8, 1.5, diameter=0.2, seed=1)
    model = NequIP(type_names=["AR"], cutoff_nm=0.55, layers=1, features=4, seed=1)
    path = save_bundle(tmp_path / "potential", model, [], [frames])
    other = copy.deepcopy(model)
    with room_for(room), pytest.raises(OSError, match=r"potential.*: cannot be written"):
        save_bundle(path, other, [], [frames])
    assert names(tmp_path) == {"potential"}
    np.testing.assert_equal(load(path).temperature, 300.0)


def test_a_log_that_does_not_fit_says_so_once(tmp_path, capsys):
    log = logging.getLogger("cgnnp")
    try:
        start_logging(tmp_path / "train.log")
        with room_for(200):
            for number in range(20):
                log.debug("line %d of a log that grows beyond what there is room for", number)
    finally:
        for handler in list(log.handlers):
            log.removeHandler(handler)
            handler.close()
        log.propagate = True
    found = capsys.readouterr().err
    assert found.count("train.log: cannot be written") == 1
    assert "Logging error" not in found
    assert "Traceback" not in found
    assert sys.exc_info()[0] is None
