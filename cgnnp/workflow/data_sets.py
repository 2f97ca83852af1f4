"""Which data sets a run may be fitted to, alone and together."""

from collections.abc import Sequence
from pathlib import Path

from cgnnp.dataset import frames_digest
from cgnnp.frames import Frames
from cgnnp.mapping import Mapping
from cgnnp.workflow.run_folder import RunFolder


def check_mapping(mapping: Mapping) -> None:
    """Refuse what can be sampled but not fitted.

    Raises:
        ValueError: a single bead; beads of one type that differ; or bonds, which neither the pair spline nor the network,
            flat inside its inner cutoff, would hold together.
    """
    if mapping.n_beads < 2:
        raise ValueError(f"mapping '{mapping.name}' makes a single bead, on which no other acts: there is nothing to fit")
    for values in (mapping.masses, mapping.charges):
        mapping.per_type(values)
    if mapping.bonds:
        raise ValueError(
            f"mapping '{mapping.name}' has {len(mapping.bonds)} bonds between beads, and there is no prior for bonds yet: "
            "choose a mapping with one bead per molecule"
        )


def check_further(frames: Frames, directory: Path, temperature: float, mapping: Mapping) -> None:
    """Refuse a further data set that cannot be fitted together with the first.

    Raises:
        ValueError: of another temperature or other bead types, or with too few frames to hold some out.
    """
    if frames.temperature != temperature:
        raise ValueError(
            f"more_data={directory}: at {frames.temperature:g} K, the first data set is at {temperature:g} K: "
            "a free energy belongs to one temperature"
        )
    if set(frames.mapping.type_names) != set(mapping.type_names):
        raise ValueError(
            f"more_data={directory}: has bead types {', '.join(frames.mapping.type_names)}, the first data set has "
            f"{', '.join(mapping.type_names)}: they must be the same"
        )
    check_mapping(frames.mapping)


def remember_further(run: RunFolder, directories: Sequence[Path], sets: Sequence[Frames]) -> None:
    """Record which further data sets a run is fitted to.

    Raises:
        ValueError: it was fitted to others.
    """
    digests = {
        str(directory.resolve()): frames_digest(directory, len(frames))
        for directory, frames in zip(directories, sets, strict=True)
    }
    known = run.summary().get("more_data", digests)
    if list(known) != list(digests):
        raise ValueError(f"run_dir={run.path}: was fitted together with {list(known)}: choose another run_dir")
    if changed := [path for path, digest in digests.items() if known[path] != digest]:
        raise ValueError(
            f"run_dir={run.path}: the frames in {changed[0]} have changed since it was fitted to them: choose another"
        )
    run.update(more_data=digests)
