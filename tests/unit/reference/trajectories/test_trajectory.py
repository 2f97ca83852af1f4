"""What all formats share: pieces, strides, memory, provenance, refusals."""

import logging
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from made_files import CELL, known, write_extxyz, write_lammps, write_trr
from test_formats import KCAL_ANGSTROM, read, write_h5md, write_netcdf

from cgnnp.reference.trajectories.formats import open_trajectory


def test_files_that_follow_each_other(tmp_path):
    paths = [
        write_trr(tmp_path / f"part{k}.trr", known(n, seed=k), start_ps=start)
        for k, (n, start) in enumerate([(3, 0.0), (1, 6.0), (4, 8.0)])
    ]
    trajectory = open_trajectory(paths)
    assert (trajectory.n_frames, trajectory.interval_ps) == (8, 2.0)
    whole = np.concatenate([known(n, seed=k).forces for k, n in enumerate([3, 1, 4])])
    np.testing.assert_allclose(read(trajectory).forces, whole, rtol=1e-6)
    for start, stop, stride in [(0, None, 2), (1, 7, 3), (4, None, 1), (2, 4, 1), (-2, None, 1), (7, 100, 5)]:
        found = read(trajectory, start=start, stop=stop, stride=stride).forces
        np.testing.assert_allclose(found, whole[start:stop:stride], rtol=1e-6)
    assert list(trajectory.chunks(3, start=8)) == []


def test_files_that_overlap_are_noticed(tmp_path, caplog):
    paths = [write_trr(tmp_path / f"{start:g}.trr", known(3), start_ps=start) for start in (0.0, 4.0)]
    with caplog.at_level(logging.WARNING, "cgnnp"):
        assert open_trajectory(paths).interval_ps is None
    assert "0.trr, 4.trr: times do not always rise" in caplog.text


def test_the_stated_interval_wins(tmp_path, caplog):
    path = write_trr(tmp_path / "a.trr", known())
    with caplog.at_level(logging.WARNING, "cgnnp"):
        assert open_trajectory(path, interval_ps=5.0).interval_ps == 5.0
    assert "a.trr has frames every 2 ps" in caplog.text


def test_source_is_plain_data_without_paths_of_the_machine(tmp_path):
    source = open_trajectory(write_trr(tmp_path / "a.trr", known())).source
    other = open_trajectory(write_trr(tmp_path / "a.trr", known(seed=1))).source
    assert source["format"] == "trr"
    assert source["files"][0]["name"] == "a.trr"
    assert str(tmp_path) not in str(source)
    assert source["files"][0]["bytes"] == other["files"][0]["bytes"]
    assert source["files"] != other["files"]


def written(kind: str, path, n_frames: int):
    frames = known(n_frames, n_atoms=200)
    if kind == "trr":
        return open_trajectory(write_trr(path / "a.trr", frames))
    if kind == "extxyz":
        return open_trajectory(write_extxyz(path / "a.xyz", frames, length_nm=0.1, force=1.0), units="eV,Angstrom")
    if kind == "lammps":
        return open_trajectory(write_lammps(path / "a.dump", frames, length_nm=0.1, force=1.0), units="real")
    if kind == "h5md":
        return open_trajectory(write_h5md(path / "a.h5md", frames))
    np.savez(path / "a.npz", positions=frames.positions, forces=frames.forces, boxes=frames.boxes)
    return open_trajectory(path / "a.npz", units="nm,kJ/mol")


def peak_bytes(trajectory) -> int:
    sum(len(chunk) for chunk in trajectory.chunks(10, stop=10))  # what is imported once
    tracemalloc.start()
    assert sum(len(chunk) for chunk in trajectory.chunks(10)) == trajectory.n_frames
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("kind", ["trr", "extxyz", "lammps", "h5md", "npz"])
def test_memory_does_not_grow_with_the_length(tmp_path, kind):
    peaks = []
    for n_frames in (40, 240):
        (folder := tmp_path / str(n_frames)).mkdir()
        peaks.append(peak_bytes(written(kind, folder, n_frames)))
    in_memory = 240 * 200 * 3 * 2 * 4
    assert peaks[1] < 1.1 * peaks[0] + 20_000
    assert peaks[1] < 0.5 * in_memory


def test_units_are_never_guessed(tmp_path):
    xyz = write_extxyz(tmp_path / "a.xyz", known(), length_nm=0.1, force=1.0)
    with pytest.raises(ValueError, match=r'a\.xyz: the file does not state.*units="eV Angstrom".*metal'):
        open_trajectory(xyz)
    with pytest.raises(ValueError, match="does not state"):
        open_trajectory(write_lammps(tmp_path / "a.dump", known(), length_nm=0.1, force=1.0))
    with pytest.raises(ValueError, match="no 'unit' attributes"):
        open_trajectory(write_h5md(tmp_path / "a.h5md", known(), unit=(None, None)))
    for wrong, message in [
        ("eV", "must be one length and one energy"),
        ("eV,Angstrom,nm", "must be one length"),
        ("eV,furlong", "'furlong' is not a known unit"),
        ("lj", "'lj' is not a known unit"),
        ({"length": "nm", "energie": "eV"}, "no key 'energie'"),
    ]:
        with pytest.raises(ValueError, match=message):
            open_trajectory(xyz, units=wrong)


def test_units_of_the_format_cannot_be_overruled(tmp_path):
    path = write_trr(tmp_path / "a.trr", known())
    open_trajectory(path, units="kJ/mol,nm")
    with pytest.raises(ValueError, match=r"units='eV,Angstrom' is stated, but the format fixes nm,kJ/mol/nm"):
        open_trajectory(path, units="eV,Angstrom")
    with pytest.raises(ValueError, match="the file has nm and kJ mol-1 nm-1"):
        open_trajectory(write_h5md(tmp_path / "a.h5md", known()), units="real")


def test_files_without_forces_say_how_to_write_them(tmp_path):
    trr = write_trr(tmp_path / "a.trr", known(), forces_every=1)
    bare = bytearray(trr.read_bytes())
    length = len(bare) // 7
    for k in range(7):  # declare forces of no size and cut them off
        start = k * length
        bare[start + 60 : start + 64] = bytes(4)
    trr.write_bytes(b"".join(bytes(bare[k * length : (k + 1) * length - 48]) for k in range(7)))
    with pytest.raises(ValueError, match=r"none of its 7 frames has both.*nstfout"):
        open_trajectory(trr)
    dump = write_lammps(tmp_path / "a.dump", known(), length_nm=0.1, force=1.0, columns="x y z vx vy vz")
    with pytest.raises(ValueError, match=r"a\.dump: has columns id type x y z vx vy vz.*dump 1 all custom"):
        open_trajectory(dump, units="real")
    with pytest.raises(ValueError, match=r"a\.nc: the file has no forces: .*ntwf=-1"):
        open_trajectory(write_netcdf(tmp_path / "a.nc", known()))
    (tmp_path / "a.xtc").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"\.xtc files hold no forces"):
        open_trajectory(tmp_path / "a.xtc")
    np.savez(tmp_path / "a.npz", positions=known().positions, boxes=CELL)
    with pytest.raises(ValueError, match=r"a\.npz: has no forces, only boxes, positions; expected positions"):
        open_trajectory(tmp_path / "a.npz", units="nm,kJ/mol")


@pytest.mark.parametrize("kind", ["trr", "extxyz", "lammps", "h5md", "npz"])
@pytest.mark.parametrize("kept", [0.97, 0.5, 0.001])
def test_truncated_files(tmp_path, kind, kept):
    written(kind, tmp_path, 5)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(ValueError, match=rf"{path.name}"):
        read(open_trajectory(path, units={"trr": None, "h5md": None}.get(kind, "nm,kJ/mol")))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # __del__ of a reader that did not open
def test_truncated_netcdf(tmp_path):
    path = write_netcdf(tmp_path / "a.nc", known(), forces=True)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"a\.nc"):
        read(open_trajectory(path))


@pytest.mark.parametrize("name", ["positions", "forces"])
def test_not_finite(tmp_path, name):
    frames = known()
    getattr(frames, name)[2, 1, 0] = np.nan
    first, second = write_trr(tmp_path / "a.trr", known(4)), write_trr(tmp_path / "b.trr", frames, start_ps=8.0)
    with pytest.raises(ValueError, match=rf"b\.trr: {name} of frame 2 are not finite"):
        read(open_trajectory([first, second]))


def test_without_a_box(tmp_path):
    frames = known()
    frames.boxes[5] = 0.0
    with pytest.raises(ValueError, match=r"a\.trr: frame 5 has no periodic box"):
        read(open_trajectory(write_trr(tmp_path / "a.trr", frames)))
    path = write_extxyz(tmp_path / "a.xyz", known(), length_nm=0.1, force=1.0)
    path.write_text("\n".join(line.partition('" ')[2] or line for line in path.read_text().splitlines()) + "\n")
    (found,) = open_trajectory(path, units="eV,Angstrom").chunks(100)
    assert found.boxes is None
    np.testing.assert_allclose(found.positions, known().positions, atol=1e-6)


def test_other_numbers_of_atoms(tmp_path):
    five, four = write_trr(tmp_path / "five.trr", known(n_atoms=5)), write_trr(tmp_path / "four.trr", known())
    with pytest.raises(ValueError, match=r"four\.trr: has 4 atoms, but five\.trr has 5"):
        open_trajectory([five, four])
    with pytest.raises(ValueError, match=r"four\.trr: has 4 atoms, but the topology has 6"):
        open_trajectory(four, topology=SimpleNamespace(n_atoms=6))
    four.write_bytes(four.read_bytes() + five.read_bytes())
    with pytest.raises(ValueError, match="frame 7 has 5 atoms, but the frames before have 4"):
        open_trajectory(four)
    path = tmp_path / "a.xyz"
    texts = [write_extxyz(path, known(2, n), length_nm=0.1, force=KCAL_ANGSTROM).read_text() for n in (4, 5)]
    path.write_text("".join(texts))
    with pytest.raises(ValueError, match="frame 2 has 5 atoms, but frame 0 has 4"):
        open_trajectory(path, units="real")


def test_names_and_formats(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.trr: no such file"):
        open_trajectory(tmp_path / "no.trr")
    (tmp_path / "a.foo").write_text("x\n")
    with pytest.raises(ValueError, match=r"a\.foo: the format is unknown.*trr, extxyz"):
        open_trajectory(tmp_path / "a.foo")
    with pytest.raises(ValueError, match="name at least one"):
        open_trajectory([])
    renamed = write_trr(tmp_path / "a.bar", known())
    assert open_trajectory(renamed, format="trr").n_frames == 7
    with pytest.raises(ValueError, match="chunk_frames=0"):
        list(open_trajectory(renamed, format="trr").chunks(0))


@pytest.mark.parametrize("kind", ["trr", "extxyz", "lammps", "h5md", "npz"])
def test_any_frames_of_any_format(tmp_path, kind):
    trajectory = written(kind, tmp_path, 9)
    whole = read(trajectory)
    for start, stop, stride in [(2, None, 3), (1, 8, 2), (4, 5, 1), (-3, None, 1)]:
        found = read(trajectory, chunk_frames=2, start=start, stop=stop, stride=stride)
        for name in ("positions", "forces", "boxes"):
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name)[start:stop:stride])


def test_truncation_of_binary_frames_is_seen_on_opening(tmp_path):
    path = write_trr(tmp_path / "a.trr", known())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"a\.trr: frame 6 is truncated"):
        open_trajectory(path)


def test_elements_in_another_order(tmp_path):
    path = write_extxyz(tmp_path / "a.xyz", known(), length_nm=0.1, force=1.0)
    head, _, tail = path.read_text().rpartition("Ar ")
    path.write_text(f"{head}Kr {tail}")
    with pytest.raises(ValueError, match=r"a\.xyz: frame 6 cannot be read.*elements are not those of the first frame"):
        read(open_trajectory(path, units="eV,Angstrom"))


def test_h5md_with_forces_at_other_steps(tmp_path):
    import h5py

    path = write_h5md(tmp_path / "a.h5md", known())
    with h5py.File(path, "a") as file:
        file["particles/all/force/step"][3] += 5
    with pytest.raises(ValueError, match=r"a\.h5md: /particles/all/force is not stored at the same steps"):
        open_trajectory(path)


def test_lammps_boxes_with_both_tilts_negative(tmp_path):
    cell = np.array([[2.0, 0, 0], [-0.5, 1.8, 0], [-0.4, -0.7, 1.5]])
    path = write_lammps(tmp_path / "a.dump", known(cell=cell), length_nm=0.1, force=1.0)
    np.testing.assert_allclose(read(open_trajectory(path, units="real")).boxes, known(cell=cell).boxes, atol=1e-10)
