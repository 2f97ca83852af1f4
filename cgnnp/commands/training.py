"""The commands train, simulate and compare. A configuration becomes a plan, which a job then carries out."""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig

from cgnnp.analysis.observables.choice import GROUP, Choice, choice
from cgnnp.commands.frames import as_dict, check_command, checked_data_root, configured, configured_source, named
from cgnnp.commands.sweeps import note_job, sweep_folder
from cgnnp.frames.dataset import has_data, open_frames
from cgnnp.frames.frames import Frames
from cgnnp.frames.many_systems import systems_in
from cgnnp.mapping.mapping import Mapping
from cgnnp.models.registry import PACKAGE, architecture
from cgnnp.priors import PriorTerm
from cgnnp.reference.source import StoredSource
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.names_in_files import home_of
from cgnnp.runtime.options import TARGET, constructed, options_of
from cgnnp.runtime.platforms import choose_platform
from cgnnp.runtime.settings import checked_settings, unknown_setting
from cgnnp.simulation.beads import Composition
from cgnnp.simulation.manifest import read_manifest
from cgnnp.simulation.openmm.forces import choose_backend
from cgnnp.simulation.run import replica_folders
from cgnnp.simulation.shipped import potential_folder
from cgnnp.training.relative_entropy import RefinementSettings
from cgnnp.training.trainer import Trainer
from cgnnp.workflow.job import Job
from cgnnp.workflow.many_runs import compare_runs, write_runs
from cgnnp.workflow.plan import OF_THE_POTENTIAL, FitPlan, SimulationPlan, TrainingPlan
from cgnnp.workflow.run_folder import RunFolder, check_writable, start_logging
from cgnnp.workflow.running import CoarseRun, run_potential
from cgnnp.workflow.simulation_folder import compare_simulation, folder_beside, is_simulation, remember

log = logging.getLogger("cgnnp")

Kind = TypeVar("Kind")

SHARED = ("seed", "platform", "force_backend")
"""Settings of a command that also apply to its simulation."""


@dataclass(frozen=True, kw_only=True)
class OfAllTerms:
    """Settings in the group `prior` that belong to no single term; several terms refer to them."""

    cutoff_nm: float = 0.9


def train(config: DictConfig, config_text: str, command: str, job_name: str = "") -> None:
    """Run the main job. All settings are checked before anything is sampled.

    Args:
        config: configuration of the command.
        config_text: the resolved configuration as YAML.
        command: command line that started the job.
        job_name: the overrides that distinguish this job of a sweep, and name its folder; "" outside a sweep.
    """
    plan = training_plan(config)
    run_dir = named(config, "run_dir")
    run = RunFolder.create(run_dir or sweep_folder(job_name), plan.mapping.name)
    with run.locked():
        run.begin(config_text)
        start_logging(run.path / "train.log")
        log.info("run folder: %s%s", run.path, f" ({job_name})" if job_name else "")
        if job_name:
            note_job(run.path)
        run.note(command=command)
        Job(run).train(plan)


def training_plan(config: DictConfig) -> TrainingPlan:
    """Construct and check the plan that a configuration describes.

    Raises:
        FileNotFoundError: a data set does not exist.
        ValueError: a setting is wrong.
    """
    check_command(config)
    fit = fit_plan(config)
    source = configured_source(config)
    mapping = source.mapping if isinstance(source, StoredSource) else configured(config, "mapping")(source.atomistic())
    choose_backend(config.force_backend)
    plan = TrainingPlan(
        source=source,
        mapping=mapping,
        data_root=Path(str(config.data_dir)),
        platform=choose_platform(config.platform),
        more=_further_sets(config),
        draws=_draws(config, mapping),
        fit=fit,
        refinement=_of_kind(as_dict(config.refinement), "refinement", RefinementSettings),
        simulation=_simulation(as_dict(config.simulation), source.temperature_K),
        comparison=choice(as_dict(config.compare)),
    )
    checked_data_root(config, source, mapping)
    return plan


def simulate(config: DictConfig, overrides: Sequence[str] = ()) -> None:
    """Run or extend the simulation of a run (`run=`), or simulate any exported potential (`potential=`).

    A run is simulated with the settings in its own config.yaml, except for the `overrides` on the command line.
    """
    check_command(config)
    run, potential = named(config, "run"), named(config, "potential")
    if (run is None) == (potential is None):
        raise ValueError("set either run=<folder of a run> or potential=<exported potential>, not both")
    composition = Composition(**checked_settings(Composition, as_dict(config.system), "system"))
    if run is not None:
        _simulate_again(RunFolder.open(str(run)), config, composition, overrides)
        return
    assert potential is not None  # noqa: S101
    potential = potential_folder(potential)
    plan = _needed(_simulation(as_dict(config.simulation), read_manifest(potential)["temperature_K"]))
    start_logging()
    directory = named(config, "output") or folder_beside(potential, composition, plan)
    check_writable(directory, "output")
    found = run_potential(potential, directory, plan, composition=composition)
    remember(found, directory)
    log.info("the frames are in %s", ", ".join(map(str, found.folders)))
    log.info(
        "next, with a data set of the same beads: python -m cgnnp.compare run=%s data=data/...", shlex.quote(str(directory))
    )


def _potential(config: DictConfig) -> Path | None:
    """Return the folder of the potential that the configuration names, by a path or as a potential shipped with cgnnp."""
    place = named(config, "potential")
    return None if place is None else potential_folder(place)


def _simulate_again(run: RunFolder, config: DictConfig, composition: Composition, overrides: Sequence[str]) -> None:
    """Extend the simulation of a run."""
    manifest = read_manifest(run.potential)
    if not composition.is_own:
        raise ValueError(
            f"run={run.path}: this extends the run's own simulation, whose numbers of beads and box are fixed: use "
            f"potential={run.potential} with these system settings instead"
        )
    values = as_dict(config.simulation)
    values = (_settings_of_run(run, values, overrides) or values) if TARGET in values else values
    try:
        plan = _simulation(values, manifest["temperature_K"])
    except ValueError as error:
        said = error.configured if isinstance(error, SettingError) else error
        raise ValueError(f"{said} (set in {run.config_file} or on the command line)") from error
    plan = _needed(plan)
    with run.locked():
        start_logging(run.path / "train.log")
        job = Job(run)
        job.simulate(plan, job.frames())
        log.info("next: python -m cgnnp.compare run=%s", shlex.quote(str(run.path)))


def _needed(plan: SimulationPlan | None) -> SimulationPlan:
    if plan is None:
        raise ValueError("simulation=none: leaves nothing to simulate: choose simulation=langevin")
    return plan


def compare(config: DictConfig, overrides: Sequence[str] = ()) -> None:
    """Compare the simulation of a run with its data, a simulation of a potential with any data, or runs with each other.

    A run is compared by the observables in its own config.yaml, except for the `overrides` on the command line.
    """
    check_command(config)
    folder, data, potential = named(config, "run"), named(config, "data"), _potential(config)
    given = config.runs
    runs = [] if given is None else [given] if isinstance(given, str | int) else list(given)
    if (folder is None) == (not runs):
        raise ValueError(
            "set either run=<folder of a run or of a simulation>, or runs=<list of run folders, or a folder that contains "
            "them>"
        )
    if folder is None:
        if potential is not None:
            raise ValueError(f"potential={potential}: every run in runs= has its own potential: leave potential out")
        if data is None and (named_here := [word for word in overrides if word.lstrip("+").startswith(f"{GROUP}.")]):
            raise ValueError(
                f"{named_here[0]}: runs= shows the comparisons that the runs already have: run python -m cgnnp.compare "
                "run=... with this setting for each run, or set data= to compare all runs anew"
            )
        _compare_runs(config, runs, data)
    elif (output := named(config, "output")) is not None:
        raise ValueError(f"output={output}: with run=, the comparison goes into the folder of the run: leave output out")
    elif is_simulation(folder):
        chosen = choice(as_dict(config.compare))
        frames = _data_of(data, f"run={folder}: is a simulation of a potential, so the data to compare with must be set")
        start_logging()
        compare_simulation(folder, frames, chosen, potential)
    elif potential is not None:
        raise ValueError(f"potential={potential}: run={folder} has its own potential: leave potential out")
    else:
        _compare_run(config, RunFolder.open(str(folder)), data, overrides)


def _compare_run(config: DictConfig, run: RunFolder, data: Path | None, overrides: Sequence[str]) -> None:
    """Compare the simulation of a run with data, and write its report again."""
    with run.locked():
        job = Job(run)
        known = job.found.data
        frames = _data_of(data or Path(known.data or ""), n_frames=known.n_frames if data is None else None)
        coarse = CoarseRun.load(run.result("simulation"), run.potential, run.simulation)
        if coarse is None:  # the simulation was interrupted: compare its frames so far
            coarse = CoarseRun(run.potential, tuple(replica_folders(run.simulation)), job.found.simulation)
        chosen = _choice_of_run(run, as_dict(config.compare), overrides)
        start_logging(run.path / "train.log")  # only here, so that a refused command writes nothing to the log
        job.compare(frames, coarse, chosen, data, again=True)


def _compare_runs(config: DictConfig, runs: Sequence[Any], data: Path | None) -> None:
    """Compare several runs with each other. The page goes into the folder that contains them, or beside the first run."""
    places = [Path(str(place)) for place in runs]
    frames = None if data is None else _data_of(data)
    output = named(config, "output") or (places[0] if len(places) == 1 else places[0].resolve().parent / "comparison")
    check_writable(output, "output")
    start_logging()
    found = compare_runs(places, choice(as_dict(config.compare)), frames)
    page = write_runs(found, output)
    print(found.table())
    log.info("compare: comparison written to %s", page)


def _data_of(data: Path | None, needed: str = "", n_frames: int | None = None) -> Frames:
    """Return the frames to compare with.

    Raises:
        FileNotFoundError: the folder `data` has no data set.
        ValueError: no data set is named; the message begins with `needed`.
    """
    if data is None:
        raise ValueError(f"{needed}: data=data/...")
    if not has_data(data):
        missing = "is not a data set of mapped frames (it has no meta.json)"
        raise FileNotFoundError(f"{data}: {missing}: name a data set with data=<directory>")
    return open_frames(data, n_frames=n_frames)


def _choice_of_run(run: RunFolder, values: dict[str, Any], overrides: Sequence[str]) -> Choice:
    """Return the observables in the config.yaml of a run, with the changes that the command line makes."""
    made = run.config().get(GROUP)
    if not isinstance(made, dict):
        return choice(values)
    for name in (text.lstrip("+").partition("=")[0] for text in overrides):
        _, _, key = name.partition(f"{GROUP}.")
        if key and name.startswith(f"{GROUP}."):
            observable, _, setting = key.partition(".")
            if setting and setting in (values.get(observable) or {}):
                made[observable] = {**(made.get(observable) or {}), setting: values[observable][setting]}
            else:
                made[key] = values.get(key)
    return choice(made)


def _settings_of_run(run: RunFolder, values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the simulation settings of a run, updated with those of `values` that the command line names.

    Raises:
        ValueError: the config.yaml of the run is damaged.
    """
    made = run.config().get("simulation")
    if not isinstance(made, dict) or TARGET not in made:
        return {}
    names = [text.lstrip("+").partition("=")[0] for text in overrides]  # hydra adds settings with +key=value or ++key=value
    changed = [name.removeprefix("simulation.") for name in names if name.startswith("simulation.") or name in SHARED]
    return {**made, **{name: values[name] for name in changed if name in values}}


def _simulation(values: dict[str, Any], temperature: float) -> SimulationPlan | None:
    """Return the plan of a simulation of a potential that is valid at this temperature (K), or None for `simulation=none`.

    Raises:
        ValueError: a setting is wrong.
    """
    if TARGET not in values:
        return None
    plan = constructed(values, "simulation", OF_THE_POTENTIAL)(temperature)
    if not isinstance(plan, SimulationPlan):
        raise ValueError(f"simulation._target_={values[TARGET]}: must return a {SimulationPlan.__module__}.SimulationPlan")
    return plan


def fit_plan(config: DictConfig) -> FitPlan:
    """Construct the plan of the fit: the terms of the prior, the network and the trainer."""
    trainer = _of_kind(as_dict(config.trainer), "trainer", Trainer)  # type: ignore[type-abstract]
    terms = _prior_terms(as_dict(config.prior))
    trainer.check_machine()
    values = as_dict(config.model)
    _check_package(values, "model", PACKAGE)
    return FitPlan(prior=terms, network=architecture(values), trainer=trainer, platform=config.platform)


def _prior_terms(values: dict[str, Any]) -> tuple[PriorTerm, ...]:
    """Construct the terms of the prior, in their order.

    If a preset has settings for a term that is not chosen, they are ignored.

    Raises:
        ValueError: a setting is wrong.
    """
    shared = {key: value for key, value in values.items() if not isinstance(value, dict)}
    checked_settings(OfAllTerms, shared, "prior")
    terms = {name: settings for name, settings in values.items() if isinstance(settings, dict) and TARGET in settings}
    options = options_of("prior")
    for name in values.keys() - shared.keys() - terms.keys() - {*options}:
        raise ValueError(unknown_setting(f"prior.{name}", [*values.keys() - {name}, *options]))
    for name, settings in terms.items():
        _check_package(settings, f"prior.{name}", "cgnnp.priors.")
    return tuple(
        _of_kind(settings, f"prior.{name}", PriorTerm)  # type: ignore[type-abstract]
        for name, settings in terms.items()
    )


def _check_package(values: dict[str, Any], group: str, package: str) -> None:
    """Raise an error if a class is from outside a package, since saved files name the class and must not load other code."""
    if not home_of(str(values.get(TARGET))).startswith(package):
        raise ValueError(
            f"{group}._target_={values.get(TARGET)}: must be in {package}*, since stored files name the class and cgnnp "
            "loads no code from elsewhere: add the class to the package (CONTRIBUTING.md says how)"
        )


def _of_kind(values: dict[str, Any], group: str, kind: type[Kind]) -> Kind:
    """Construct the object that the settings of a group describe, and check that it is an instance of `kind`."""
    made = constructed(values, group)
    if not isinstance(made, kind):
        raise ValueError(f"{group}._target_={values[TARGET]}: must be {kind.__module__}.{kind.__name__}")
    return made


def _further_sets(config: DictConfig) -> dict[Path, Frames]:
    """Return the data sets that are fitted together with the first: further systems of `data`, then those of `more_data`.

    Raises:
        FileNotFoundError: a data set does not exist.
    """
    first = named(config, "data")
    paths = systems_in(first)[1:] if first is not None else []
    for path in map(Path, map(str, config.more_data)):
        paths += systems_in(path) or [path]
    found: dict[Path, Frames] = {}
    for directory in paths:
        if not has_data(directory):
            raise FileNotFoundError(f"more_data={directory}: is not a data set of mapped frames (it has no meta.json)")
        found[directory] = open_frames(directory)
    return found


def _draws(config: DictConfig, mapping: Mapping) -> Frames | None:
    """Return the data set of second draws that `draws` names, or None.

    Raises:
        FileNotFoundError: the data set does not exist.
        ValueError: the data set has another mapping.
    """
    draws = named(config, "draws")
    return None if draws is None else open_frames(draws, mapping)
