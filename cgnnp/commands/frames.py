"""Construct the source of frames and the mappings from a configuration, and run the commands `sample` and `map`.

These commands need no network, so this module does not import torch.
"""

import functools
import inspect
import itertools
import logging
import math
import shlex
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cgnnp.diagnostics.undeclared_bonds import warn_of_undeclared_bonds
from cgnnp.frames.boxes import cutoff_limit
from cgnnp.frames.dataset import count_frames, open_frames, shards
from cgnnp.frames.frames import Frames
from cgnnp.frames.many_systems import systems_in
from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.fittable import warn_if_not_fitted
from cgnnp.mapping.mapping import Mapping
from cgnnp.reference.atom_frames import AtomFrames
from cgnnp.reference.remap import map_shards, stored_frames, with_optimal_map
from cgnnp.reference.source import Source, StoredSource, shard_directory
from cgnnp.reference.stored_atoms import atoms_mapping, read_atomistic
from cgnnp.reference.trajectories.file_source import FileSource
from cgnnp.runtime.options import constructed, target
from cgnnp.runtime.platforms import choose_platform
from cgnnp.runtime.ranges import check_range
from cgnnp.runtime.settings import did_you_mean, unknown_setting
from cgnnp.workflow.run_folder import check_writable, start_logging

log = logging.getLogger("cgnnp")

GROUPS = ("system", "reference", "mapping", "prior", "model", "trainer", "refinement", "simulation", "compare")
KEYS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("data_dir", "platform", "force_backend"), (str,)),
    **dict.fromkeys(("run_dir", "run", "potential", "output", "data", "draws"), (str, int, type(None))),
    **dict.fromkeys(("seed", "replica"), (int,)),
    "runs": (list, str, type(None)),
    "n_frames": (int, type(None)),
    **dict.fromkeys(("keep_atoms", "optimal"), (bool,)),
    **dict.fromkeys(("also", "more_data"), (list,)),
}
"""Keys that the configuration of a command may have at the top level in addition to its groups, and the allowed types."""


LOOKED_AT = 3000
"""At most this many frames of a new data set are searched for undeclared bonds, which takes little time and memory."""


def sample(config: DictConfig) -> list[Path]:
    """Sample one replica of a system, store its frames (one data set per mapping), and print the folders of these sets."""
    start_logging()
    check_command(config)
    source = configured_source(config)
    mappings = configured_mappings(config, source.atomistic())
    platform = choose_platform(config.platform)
    data_root = checked_data_root(config, source, *mappings)
    metas = [source.meta(mapping) for mapping in mappings]
    atoms = shard_directory(data_root, source.meta(atoms_mapping(source.atomistic()))) if config.keep_atoms else None
    places = [shard_directory(data_root, meta) for meta in metas]
    for mapping in mappings:
        warn_if_not_fitted(mapping)
    source.provide_together(mappings, places, source.n_frames, platform, atoms)
    for place in places:
        _look_for_bonds(place)
    _say_how_to_fit([place.parent for place in places])
    directories = [place.parent for place in (*places, *([atoms] if atoms else []))]
    print(*directories, sep="\n")
    return directories


def map_frames(config: DictConfig) -> list[Path]:
    """Map existing atomistic frames, from stored atoms (`data=`) or files, and print the folders of the new data sets."""
    start_logging()
    check_command(config)
    root, stored, n_frames = Path(str(config.data_dir)), named(config, "data"), config.n_frames
    if n_frames is not None and n_frames < 1:
        raise ValueError(f"n_frames={n_frames}: must be 1 or more, or null to map all frames")
    check_writable(root, "data_dir")
    if stored is None:
        directories = _map_files(config, root)
    else:
        mappings = configured_mappings(config, read_atomistic(shards(stored)[0]))
        if config.optimal:
            frames, n_stored = functools.partial(_all_stored, stored), count_frames(stored)
            mappings = [with_optimal_map(one, frames, n_stored) for one in mappings]
        directories = [map_shards(stored, mapping, root, n_frames) for mapping in mappings]
    for directory in directories:
        warn_if_not_fitted(_look_for_bonds(directory).mapping)
    _say_how_to_fit(directories)
    print(*directories, sep="\n")
    return directories


def _say_how_to_fit(directories: list[Path]) -> None:
    """Log the command that fits a potential to each data set."""
    default = OmegaConf.load(str(files("cgnnp.conf") / "train.yaml")).prior.cutoff_nm
    for directory in directories:
        half = cutoff_limit(open_frames(directory).boxes)
        # In a smaller box, train would refuse the default cutoff of the prior.
        cutoff = f" prior.cutoff_nm={math.floor(half / 0.05 + 1e-6) * 0.05:.2f}" if half < default else ""
        quoted = shlex.quote(str(directory))
        log.info("to fit a potential to these frames: python -m cgnnp.train data=%s%s", quoted, cutoff)


def _look_for_bonds(directory: Path) -> Frames:
    """Warn if beads look bonded in the first `LOOKED_AT` frames of a data set, and return these frames."""
    frames = open_frames(directory, n_frames=min(count_frames(directory), LOOKED_AT))
    warn_of_undeclared_bonds(frames, str(directory))
    return frames


def _all_stored(stored: Path) -> Iterator[AtomFrames]:
    return itertools.chain.from_iterable(stored_frames(shard) for shard in shards(stored))


def _map_files(config: DictConfig, root: Path) -> list[Path]:
    if (n_frames := config.n_frames) is not None:
        raise ValueError(f"n_frames={n_frames}: is for stored atoms (data=): for files set reference.n_frames instead")
    make = configured(config, "reference")
    if "system" in inspect.signature(make).parameters or not config.reference.get("trajectory"):
        raise ValueError(
            "python -m cgnnp.map maps existing frames, but none are named: name stored atoms with data=data/atoms-... (made "
            "by python -m cgnnp.sample keep_atoms=true), or files with reference.trajectory=...; to simulate and map use "
            "python -m cgnnp.sample"
        )
    source: FileSource = make()
    mappings = configured_mappings(config, source.atomistic())
    if config.optimal:
        source.verify()
        mappings = [with_optimal_map(one, source.parts, source.n_frames) for one in mappings]
    return [source.complete(mapping, root, choose_platform("Reference")) for mapping in mappings]


def configured_source(config: DictConfig) -> Source:
    """Construct the source of frames that the configuration asks for.

    Raises:
        ValueError: a setting is wrong.
    """
    replica = config.replica
    if replica < 0:
        raise ValueError(f"replica={replica}: must be 0 or more")
    if (stored := named(config, "data")) is not None:
        return StoredSource((systems_in(stored) or [stored])[0])
    make = configured(config, "reference")
    given = {"system": lambda: configured(config, "system"), "replica": lambda: replica}
    takes = inspect.signature(make).parameters
    if replica and "replica" not in takes:
        raise ValueError(f"replica={replica}: the chosen reference has no replicas: leave replica=0")
    source: Source = make(**{key: value() for key, value in given.items() if key in takes})
    return source


def configured_mappings(config: DictConfig, atomistic: Atomistic) -> list[Mapping]:
    """Construct the mapping that the configuration chooses, and the further mappings that its key `also` lists.

    Names in `also` are options of the group `mapping`. Options whose file names no function, such as `custom`, are not
    allowed.

    Raises:
        ValueError: an option does not exist, or a mapping is named twice.
    """
    folder = files("cgnnp.conf.mapping")
    loaded = {entry.name: OmegaConf.load(str(entry)) for entry in folder.iterdir() if entry.name.endswith(".yaml")}
    options = sorted(name.removesuffix(".yaml") for name, values in loaded.items() if "_target_" in values)
    mappings = [configured(config, "mapping")(atomistic)]
    for name in as_dict(config)["also"]:
        if name not in options:
            raise ValueError(
                f"also={name}: there is no such mapping.{did_you_mean(str(name), options)} Available: {', '.join(options)}"
            )
        one = OmegaConf.create({"mapping": loaded[f"{name}.yaml"]})
        mappings.append(configured(one, "mapping")(atomistic))
    digests = [mapping.digest for mapping in mappings]
    if twice := [mapping.name for k, mapping in enumerate(mappings) if mapping.digest in digests[:k]]:
        raise ValueError(f"also: mapping '{twice[0]}' is chosen twice: remove it from also")
    return mappings


def _named_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a mapping, with the default name of its function, or "custom", if the name is null."""
    if "name" not in values or values["name"] is not None:
        return values
    parameter = inspect.signature(target(values, "mapping")).parameters.get("name")
    without = {key: value for key, value in values.items() if key != "name"}
    return {**without, "name": "custom"} if parameter is not None and parameter.default is parameter.empty else without


def checked_data_root(config: DictConfig, source: Source, *mappings: Mapping) -> Path:
    """Return the folder `data_dir`, after checking that data sets for these settings can be read or written there.

    Raises:
        ValueError: a data set for these settings exists in the folder, but cannot be read or belongs to another mapping.
        OSError: frames have to be added, but the folder is not writable.
    """
    root = Path(str(config.data_dir))
    directories = [source.directory(root, mapping) for mapping in mappings]
    counts = [count_frames(directory) for directory in directories]
    if min(counts) < source.n_frames:  # complete data sets are not written to, and may be on a read-only disk
        check_writable(root, "data_dir")
    for mapping, directory, count in zip(mappings, directories, counts, strict=True):
        if count:
            open_frames(directory, mapping)
    return root


def check_command(config: DictConfig) -> None:
    """Raise an error if a configuration has an unknown key at the top level, or a value of the wrong type there."""
    values = {key: value for key, value in as_dict(config).items() if key not in GROUPS}
    known = [key for key in config if key in KEYS or key in GROUPS]
    for key, value in values.items():
        if key not in KEYS:
            raise ValueError(unknown_setting(key, known))
        if not isinstance(value, KEYS[key]) or (isinstance(value, bool) and bool not in KEYS[key]):
            kinds = " or ".join("null" if kind is type(None) else kind.__name__ for kind in KEYS[key])
            raise ValueError(f"{key}={value!r}: must be {kinds}")
        check_range("", key, value)
    for group in GROUPS:
        if group in config and not isinstance(config[group], DictConfig):
            raise ValueError(f"{group}={config[group]!r}: must be a group of settings")


def named(config: DictConfig, key: str) -> Path | None:
    """Return the file or folder that a key of the configuration names, or None."""
    value = config.get(key)
    return None if value is None else Path(str(value))


def configured(config: DictConfig, group: str) -> Any:
    """Construct the object that a group of the configuration describes.

    Raises:
        ValueError: a setting is wrong.
    """
    values = as_dict(config[group])
    return constructed(_named_values(values) if group == "mapping" else values, group)


def as_dict(config: DictConfig) -> dict[str, Any]:
    """Return a group of settings as a plain dictionary."""
    values = OmegaConf.to_container(config, resolve=True)
    return {str(key): value for key, value in dict(values).items()}  # type: ignore[arg-type]
