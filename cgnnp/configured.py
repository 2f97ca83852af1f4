"""The stages driven by a configuration: what the commands call."""

import datetime
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from cgnnp.configured_frames import (
    check_command,
    checked_data_root,
    checked_instantiate,
    configured_source,
    plain,
)
from cgnnp.dataset import has_data, open_frames
from cgnnp.dynamics import LangevinProtocol
from cgnnp.frames import Frames
from cgnnp.mapping import Mapping
from cgnnp.models.potential import Potential
from cgnnp.models.registry import DTYPES, PACKAGE, create_model
from cgnnp.platforms import available_cores, choose_platform
from cgnnp.priors import PriorFit
from cgnnp.priors.prior import check_cutoff
from cgnnp.priors.refinement import RefinementSettings
from cgnnp.reference.source import Source, StoredSource
from cgnnp.signatures import checked_settings
from cgnnp.simulation.beads import Composition
from cgnnp.simulation.bundle import package_versions
from cgnnp.simulation.force import choose_backend
from cgnnp.simulation.judgement import judge_replicas
from cgnnp.simulation.manifest import read_manifest
from cgnnp.simulation.run import SimulationSettings
from cgnnp.simulation.run import simulate as simulate_bundle
from cgnnp.training.data import check_type_weights
from cgnnp.training.fit import FitSettings, check_accelerator
from cgnnp.units import check_neutral
from cgnnp.workflow import stages
from cgnnp.workflow.data_sets import check_further, check_mapping, check_same_pairs, joint_types, remember_further
from cgnnp.workflow.quality import check_draws
from cgnnp.workflow.refine import refine_stage
from cgnnp.workflow.run_folder import RUNS, RunFolder, check_writable, start_logging

log = logging.getLogger("cgnnp")

OF_STAGE = ("dtype", "held_out_fraction", "type_weights")
"""Settings of the trainer that are not of the fit itself."""

SHARED = ("seed", "platform", "force_backend")
"""Settings of a command that are those of its simulation too."""

PACKAGES = ("cgnnp", "torch", "openmm", "openmmtorch", "e3nn", "lightning", "numpy")


def train(config: DictConfig, config_text: str, command: str) -> dict[str, Any]:
    """The main job; returns the summary. What can be wrong with the settings is found before anything is sampled."""
    check_command(config)
    settings = _fit_settings(config)
    source = configured_source(config)
    mapping = (
        source.mapping if isinstance(source, StoredSource) else checked_instantiate(config, "mapping")(source.atomistic())
    )
    simulation = _simulation(plain(config.simulation), source.temperature_K)
    refinement = RefinementSettings(**checked_settings(RefinementSettings, plain(config.refinement), "refinement"))
    if refinement.steps and simulation is None:
        raise ValueError(
            f"refinement.steps={refinement.steps} needs simulations, of which simulation=none has no settings: "
            "choose refinement=none too"
        )
    makers = _check_fit(config, source, mapping)
    platform = choose_platform(config.platform)
    choose_backend(config.force_backend)
    data_root = checked_data_root(config, source, mapping)
    draws = _draws(config, mapping, source.temperature_K, source.meta(mapping).provenance.get("system_digest"))
    further = _further_sets(config, source, mapping, makers[0], refined=refinement.steps > 0)
    run = RunFolder.create(None if config.run_dir is None else str(config.run_dir), mapping.name)
    with run.locked():
        run.begin(config_text)
        started = time.perf_counter()
        start_logging(run.path / "train.log")
        log.info("run folder: %s", run.path)
        run.update(command=command, versions=package_versions(PACKAGES), cores=available_cores())
        if "created" not in run.summary():
            run.update(created=f"{datetime.datetime.now():%Y-%m-%dT%H:%M:%S}", rdf=[])
        frames = stages.sample_stage(run, source, mapping, data_root, platform)
        remember_further(run, list(further), list(further.values()))
        sets = [frames, *further.values()]
        stages.map_stage(run, sets)
        chosen = {key: value for key, value in plain(config.trainer).items() if key in OF_STAGE}
        chosen["type_weights"] = _type_weights(config)
        model, priors = stages.fit_stage(run, sets, *makers, settings, **chosen, platform=config.platform, draws=draws)
        if refinement.steps and simulation is not None:
            options = {"held_out_fraction": config.trainer.held_out_fraction, "platform": config.platform}
            priors = refine_stage(run, model, priors, sets, refinement, simulation, **options)
        if not (run.finished("export") and run.potential.exists()):
            stages.export_stage(run, model, priors, sets)
        if simulation is None:
            summary = stages.report_stage(run, [])
        else:
            summary = stages.compare_stage(run, frames, stages.simulate_stage(run, *simulation, frames))
        log.info("done in %.0f s: %s", time.perf_counter() - started, run.path)
        return summary


def simulate(config: DictConfig, overrides: Sequence[str] = ()) -> None:
    """Run or extend the simulation of a run (`run=`), or run any exported potential (`potential=`).

    A run keeps the settings of its own config.yaml but for the `overrides` of the command line.
    """
    check_command(config)
    if (config.run is None) == (config.potential is None):
        raise ValueError("name either run=<folder of a run> or potential=<exported potential>, and not both")
    run = None if config.run is None else RunFolder.open(str(config.run))
    potential = Path(str(config.potential)) if run is None else run.potential
    manifest = read_manifest(potential)
    composition = Composition(**checked_settings(Composition, plain(config.system), "system"))
    if run is not None and not composition.is_own:
        raise ValueError(
            f"run={config.run}: continues the run's own simulation; for other numbers of beads use "
            f"potential={run.potential} with the same system settings"
        )
    values = plain(config.simulation)
    if run is not None and RUNS in values:
        values = _settings_of_run(run, values, overrides) or values
    try:
        found = _simulation(values, manifest["temperature_K"])
    except ValueError as error:
        if run is None:
            raise
        raise ValueError(f"{error} (in {run.config_file}, or on the command line)") from error
    if found is None:
        raise ValueError("simulation=none leaves nothing to simulate: choose simulation=langevin")
    settings, protocol = found
    if run is not None:
        with run.locked():
            start_logging(run.path / "train.log")
            data = run.summary().get("data")
            stages.simulate_stage(run, settings, protocol, open_frames(data) if data and Path(data).is_dir() else None)
        return
    start_logging()
    directory = Path(str(config.output)) if config.output is not None else potential.parent / _folder_name(composition)
    check_writable(directory, "output")
    folders = simulate_bundle(potential, directory, settings, protocol, composition=composition)
    judge_replicas(folders, protocol)
    log.info("frames in %s", ", ".join(map(str, folders)))


def _folder_name(composition: Composition) -> str:
    """Where beads of this composition are simulated, beside the potential."""
    given = {name: value for name, value in vars(composition).items() if value is not None}
    return "_".join(["simulation", *(f"{name}_{value:g}" for name, value in given.items())])


def compare(config: DictConfig) -> dict[str, Any]:
    """Compare the simulation of a run with its data, and write the report again."""
    check_command(config)
    if config.run is None:
        raise ValueError("name the folder of a run: run=runs/...")
    run = RunFolder.open(str(config.run))
    data = Path(str(config.data) if config.data is not None else run.summary().get("data", ""))
    if not has_data(data):
        raise FileNotFoundError(f"{data}: not a data set of mapped frames (no meta.json): name one with data=<directory>")
    mapping = Mapping.from_dict(read_manifest(run.potential)["mapping"], str(run.potential / "manifest.json"))
    frames = open_frames(data, mapping, n_frames=None if config.data is not None else run.summary()["n_frames"])
    with run.locked():
        start_logging(run.path / "train.log")
        run.update(compared_with=str(data.resolve()))
        return stages.compare_stage(run, frames)


def _settings_of_run(run: RunFolder, values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The simulation settings that a run was made with, and of `values` those that the command line names.

    Raises:
        ValueError: the run's config.yaml is damaged.
    """
    made = run.config().get("simulation")
    if not isinstance(made, dict) or RUNS not in made:
        return {}
    names = [text.lstrip("+").partition("=")[0] for text in overrides]  # +key=value and ++key=value are hydra's ways to add
    changed = [name.removeprefix("simulation.") for name in names if name.startswith("simulation.") or name in SHARED]
    return {**made, **{name: values[name] for name in changed if name in values}}


def _draws(config: DictConfig, mapping: Mapping, temperature: float, system_digest: str | None) -> Frames | None:
    """The data set of second draws that `draws` names.

    Raises:
        FileNotFoundError: no data set there.
        ValueError: of another mapping, system or temperature, or without second draws.
    """
    if config.draws is None:
        return None
    draws = open_frames(str(config.draws), mapping)
    check_draws(draws, temperature, str(config.draws), system_digest)
    return draws


def _simulation(values: dict[str, Any], temperature: float) -> tuple[SimulationSettings, LangevinProtocol] | None:
    """Settings and protocol, or None for `simulation=none`; the temperature is the data's where none is given.

    Raises:
        ValueError: a setting that is wrong, or a platform or back end that does not work here.
    """
    if RUNS not in values:
        return None
    if values.get("temperature_K") is None:
        values = {**values, "temperature_K": temperature}
    parts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for key, value in values.items():
        parts[key in LangevinProtocol.__dataclass_fields__][key] = value
    settings = SimulationSettings(**checked_settings(SimulationSettings, parts[0], "simulation"))
    choose_platform(settings.platform)
    choose_backend(settings.force_backend)
    return settings, LangevinProtocol(**checked_settings(LangevinProtocol, parts[1], "simulation"))


def _fit_settings(config: DictConfig) -> FitSettings:
    """How to fit, refusing what would be refused only after sampling."""
    values = plain(config.trainer)
    dtype, fraction, _ = (values.pop(name, None) for name in OF_STAGE)
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"trainer.dtype={dtype}: choose one of {', '.join(DTYPES)}")
    if not isinstance(fraction, float) or not 0 < fraction < 1:
        raise ValueError(f"trainer.held_out_fraction={fraction!r}: must be a number between 0 and 1")
    settings = FitSettings(**checked_settings(FitSettings, values, "trainer"))
    check_accelerator(settings)
    return settings


def _check_fit(config: DictConfig, source: Source, mapping: Mapping) -> tuple[PriorFit, Callable[..., Potential]]:
    """What fits the priors and what makes the network, both tried before anything is sampled, to find what is wrong."""
    _check_targets(config)
    check_mapping(mapping)
    fit_priors = checked_instantiate(config, "prior")
    if not isinstance(fit_priors, PriorFit):
        raise ValueError(
            f"prior._target_={config.prior._target_}: must be cgnnp.priors.prior_fit.PriorFit, which fits all of them"
        )
    check_cutoff(fit_priors.cutoff_nm, source.box())
    fit_priors.coulomb(mapping, source.meta(mapping).provenance)
    n_frames, fraction = source.n_frames, config.trainer.held_out_fraction
    n_held_out = round(n_frames * fraction)
    if not 2 <= n_held_out < n_frames:
        raise ValueError(
            f"trainer.held_out_fraction={fraction} of reference.n_frames={n_frames} leaves no frames to fit, or fewer than "
            "the two that an error of R2 needs: raise reference.n_frames"
        )
    make_model = checked_instantiate(config, "model", stages.FROM_DATA)
    create_model(make_model, {"type_names": list(mapping.type_names)}, torch.float32)
    return fit_priors, make_model


def _type_weights(config: DictConfig) -> dict[str, float]:
    """Weights in the loss by bead type; refuses what are not numbers by type."""
    by_type = plain(config.trainer).get("type_weights")
    by_type = {} if by_type is None else by_type
    if not isinstance(by_type, dict) or not all(type(weight) in (int, float) for weight in by_type.values()):
        raise ValueError(f"trainer.type_weights={by_type!r}: must be numbers by bead type, e.g. {{Na: 2.0}}")
    return {str(name): float(weight) for name, weight in by_type.items()}


def _further_sets(
    config: DictConfig, source: Source, mapping: Mapping, fit_priors: PriorFit, refined: bool
) -> dict[Path, Frames]:
    """The data sets of `more_data`, looked at before anything is sampled, and what all data sets together must have.

    Raises:
        FileNotFoundError: no data set there.
        ValueError: one that cannot be fitted together with the others, or weights of bead types that none has.
    """
    found: dict[Path, Frames] = {}
    for directory in (Path(str(path)) for path in config.more_data):
        if not has_data(directory):
            raise FileNotFoundError(f"more_data={directory}: not a data set of mapped frames (no meta.json)")
        frames = open_frames(directory)
        check_further(frames, directory, source.temperature_K)
        check_cutoff(fit_priors.cutoff_nm, frames.boxes[0])
        check_neutral(frames.mapping.charges.tolist(), f"more_data={directory}")
        if round(len(frames) * config.trainer.held_out_fraction) < 2:
            raise ValueError(
                f"more_data={directory}: {len(frames)} frames leave fewer than two to hold out "
                f"(trainer.held_out_fraction={config.trainer.held_out_fraction}): use more frames"
            )
        found[directory] = frames
    metas = {"the first data set": source.meta(mapping)}
    metas |= {f"more_data={directory}": frames.meta for directory, frames in found.items()}
    mappings = {label: meta.mapping for label, meta in metas.items()}
    check_type_weights(_type_weights(config), joint_types(mappings).names)
    fit_priors.joint_coulomb(metas)
    if refined:
        check_same_pairs(mappings)
    return found


def _check_targets(config: DictConfig) -> None:
    """Stored files name the classes of network and prior, and no code comes from files: only the package's own will do."""
    for group, package in (("model", PACKAGE), ("prior", "cgnnp.priors.")):
        target = str(config[group].get("_target_"))
        if not target.startswith(package):
            raise ValueError(
                f"{group}._target_={target}: must be one of {package}*, since stored files name it and no code comes from "
                "files: add it to the package (CONTRIBUTING.md says how)"
            )
