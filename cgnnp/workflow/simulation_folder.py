"""Simulations in a folder of their own, outside the run that fitted the potential, and their comparison with any data."""

import inspect
import logging
import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cgnnp.analysis.observables.choice import Choice, changes
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.dynamics.langevin_dynamics import speed_ns_per_day
from cgnnp.frames.frames import Frames
from cgnnp.priors.coulomb import dielectric_constant
from cgnnp.report.page import write_report
from cgnnp.report.summary import DataFigures, ExportFigures, JobFigures, Summary
from cgnnp.runtime.storage import read_json, write_json
from cgnnp.simulation.beads import Composition
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.manifest import read_manifest
from cgnnp.simulation.potential_files import load
from cgnnp.simulation.run import replica_folders
from cgnnp.simulation.shipped import beside
from cgnnp.workflow.comparing import Comparison, compare_sides
from cgnnp.workflow.plan import SimulationPlan, langevin
from cgnnp.workflow.running import CoarseRun

log = logging.getLogger("cgnnp")

RESULT, WHERE = "results/simulation", "potential.json"


def is_simulation(folder: Path) -> bool:
    """Return whether the replicas of a simulation are in this folder itself, not in a subfolder as in a whole run."""
    return bool(replica_folders(folder)) if folder.is_dir() else False


def remember(coarse: CoarseRun, folder: Path) -> None:
    """Write the results of a simulation, the path of its potential and its settings to the folder of the replicas."""
    coarse.save(folder / RESULT)
    place = {"potential": os.path.relpath(coarse.potential.resolve(), folder.resolve())}
    write_json(folder / "results" / WHERE, {**place, "settings": _settings(coarse)})


def _settings(coarse: CoarseRun) -> dict[str, Any]:
    """Return the settings of a simulation that are not the default ones of `python -m cgnnp.simulate`, by their full names.

    The length is left out, because it may be raised.
    """
    composition = {} if coarse.composition is None else vars(coarse.composition)
    found = {f"system.{key}": value for key, value in composition.items() if value is not None}
    if coarse.plan is None:
        return found
    defaults = {name: one.default for name, one in inspect.signature(langevin).parameters.items()}
    defaults["temperature_K"] = read_manifest(coarse.potential)["temperature_K"]
    made = {**vars(coarse.plan.settings), **vars(coarse.plan.protocol)}
    changed = {key: value for key, value in made.items() if key != "length_ps" and defaults.get(key) != value}
    return {**found, **{f"simulation.{key}": value for key, value in changed.items()}}


def folder_beside(potential: Path, composition: Composition, plan: SimulationPlan) -> Path:
    """Return the folder for a simulation of a potential, named after its composition, and its temperature if it differs."""
    temperature, name = plan.protocol.temperature_K, composition.folder_name
    other = abs(temperature - read_manifest(potential)["temperature_K"]) > 1e-9
    return beside(potential, f"{name}_temperature_K_{temperature:g}" if other else name)


def compare_simulation(
    folder: Path, frames: Frames, chosen: Choice | None = None, potential: Path | None = None
) -> Comparison:
    """Compare a simulation with data of the same beads, and write tables, pictures, summary and report to its folder.

    Args:
        folder: folder of the simulation.
        frames: mapped atomistic frames; numbers of beads, box and temperature may differ from those of the simulation.
        chosen: the observables to compare; by default all that apply to the beads.
        potential: folder of the potential that was simulated; None takes the path that the simulation has recorded.

    Raises:
        FileNotFoundError: the simulation is not finished, or its potential is unknown or no longer exists.
        ValueError: the data have other beads, or the potential is not the one that was simulated.
    """
    if not (folder / RESULT).is_dir():
        raise FileNotFoundError(f"{folder}: this simulation is not finished: run the same python -m cgnnp.simulate again")
    place = potential or _potential_of(folder)
    bundle = load(place, self_check=False)
    coarse = CoarseRun.load(folder / RESULT, place, folder)
    if coarse is None:
        raise FileNotFoundError(f"{folder}: this simulation is not finished: run the same python -m cgnnp.simulate again")
    _check_ran(coarse.frames, bundle, place)
    check_same_beads(frames, bundle)
    speeds = speed_of(frames), coarse.figures.cg_ns_per_day
    both = BothSides(frames, coarse.frames, bundle, coarse.consistency, coarse.kinetic)
    comparison = compare_sides(both, chosen, speeds)
    result = folder / "results" / "comparison"
    comparison.save(result)
    data = DataFigures(
        system=name_of(frames),
        mapping=frames.mapping.name,
        temperature_K=frames.temperature,
        data=_folder_of(frames),
        n_frames=len(frames),
        atomistic_ns_per_day=speeds[0],
    )
    eps_r = dielectric_constant(bundle.priors)
    export = ExportFigures(potential=str(place), eps_r=eps_r, potential_temperature_K=bundle.temperature)
    summary = Summary.of(JobFigures(run=folder.name), data, export, coarse.figures, comparison.figures)
    write_json(folder / "summary.json", summary.to_dict())
    with comparison.replacing_files(folder, result):
        comparison.write_csv(folder)
        page = write_report(
            folder,
            summary,
            priors=bundle.priors,
            sections=comparison.sections(),
            picture_files=True,
            commands=_commands(folder, place, summary),
            potential=str(place),
        )
    log.info("report: %s", page)
    return comparison


def _commands(folder: Path, potential: Path, summary: Summary) -> list[tuple[str, str]]:
    """Return commands that a reader of the report may want to run, each with a heading."""
    file = folder / "results" / WHERE
    settings = read_json(file).get("settings", {}) if file.exists() else {}
    words = [f"potential={potential}", f"output={folder}", *(f"{key}={value}" for key, value in settings.items())]
    longer = f"python -m cgnnp.simulate {shlex.join(words)} simulation.length_ps={longer_ps(summary.cg_length_ps)}"
    compare = comparing_command(folder, replace(summary, compared_with=summary.data))
    return [("This comparison", compare), ("A longer simulation, and the comparison again", f"{longer}\n{compare}")]


def comparing_command(folder: Path, summary: Summary, base: Mapping[str, Any] | None = None) -> str:
    """Return the command that repeats the comparison of a run, or compares a run for the first time.

    Args:
        folder: folder of the run or of the simulation.
        summary: summary with the data and the settings of the comparison.
        base: settings of the comparison that apply unless the command names others; None takes the default values.
    """
    data = [] if summary.compared_with is None else [f"data={summary.compared_with}"]
    settings = [] if summary.comparison is None else changes(summary.comparison["settings"], base)
    return f"python -m cgnnp.compare {shlex.join([f'run={folder}', *data, *settings])}"


def longer_ps(length_ps: float | None) -> int:
    """Suggest a length (ps) for a simulation longer than `length_ps`: twice `length_ps`, but at least 5000 ps."""
    return max(5000, 2 * round(length_ps or 0))


def check_same_beads(frames: Frames, bundle: PotentialBundle) -> None:
    """Check that data have the bead types of a potential. Numbers of beads, boxes and temperatures may differ.

    Raises:
        ValueError: the bead types, or their masses or charges, differ.
    """
    own, theirs = bundle.mapping, frames.mapping
    source = ", ".join(frames.sources) or "the data"
    if set(own.type_names) != set(theirs.type_names):
        names = ", ".join(theirs.type_names), ", ".join(own.type_names)
        raise ValueError(
            f"{source}: the bead types are {names[0]}, but those of the potential are {names[1]}: compare with data of the "
            "same beads"
        )
    for what, unit, one, two in (
        ("mass", "Da", own.per_type(own.masses), theirs.per_type(theirs.masses)),
        ("charge", "e", own.per_type(own.charges), theirs.per_type(theirs.charges)),
    ):
        for name, value in one.items():
            if abs(two[name] - value) > 1e-3 * max(1.0, abs(value)):
                raise ValueError(
                    f"{source}: the {what} of bead {name} is {two[name]:g} {unit}, but {value:g} {unit} in the potential: "
                    "compare with data of the same beads"
                )


def name_of(frames: Frames) -> str:
    """Return the name of the system that was sampled; if it is unknown, the sources of the frames."""
    system = frames.meta.provenance.get("system")
    name = system.get("name") if isinstance(system, dict) else None
    return str(name) if name else ", ".join(frames.sources) or "memory"


def _folder_of(frames: Frames) -> str | None:
    """Return the folder of the data set if the frames are of all its replicas, else of the first; None if not on disk."""
    if not frames.sources:
        return None
    parents = {Path(source).parent for source in frames.sources}
    whole = len(parents) == 1 and {*map(str, (parent := parents.pop()).glob("replica_*"))} == {*frames.sources}
    return str(parent) if whole else frames.sources[0]


def speed_of(frames: Frames) -> float | None:
    """Return the speed of the simulation that sampled the frames, ns/day; None if they are not in the data cache."""
    folders = [Path(source) for source in frames.sources]
    return speed_ns_per_day(folders[0]) if folders and folders[0].is_dir() else None


def _potential_of(folder: Path) -> Path:
    """Return the folder of the potential, whose path the simulation has recorded."""
    file = folder / "results" / WHERE
    if not file.exists():
        raise FileNotFoundError(
            f"{file}: there is no such file, so the potential of the simulation is unknown: name it with "
            "potential=<exported potential>"
        )
    place = folder / str(read_json(file)["potential"])
    if not place.is_dir():
        raise FileNotFoundError(
            f"{place}: the potential of {folder} no longer exists at this path: give its new path as potential=<directory>"
        )
    return Path(os.path.relpath(place.resolve()))


def _check_ran(coarse: Frames, bundle: PotentialBundle, place: Path) -> None:
    """Check that a potential is the one that was simulated.

    Raises:
        ValueError: the simulation was made with another potential.
    """
    ran = coarse.meta.provenance.get("potential")
    if ran is not None and ran != bundle.digest:
        raise ValueError(
            f"potential={place}: is not the potential that was simulated: its digest is {bundle.digest}, but the simulation "
            f"has recorded {ran}: name the potential that was simulated"
        )
