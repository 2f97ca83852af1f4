"""The stages of the main job: sample, map, fit, export, simulate, compare. Each can be done alone and continued."""

import functools
import io
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgnnp.analysis.rdf import Rdf, longest_distance, rdf
from cgnnp.analysis.rdf_verdict import in_words
from cgnnp.consistency import Consistency
from cgnnp.dataset import chunk_infos, count_frames, frames_digest, read_array, read_meta
from cgnnp.dynamics import LangevinProtocol, speed_ns_per_day
from cgnnp.files import check_file, json_text, write_checked
from cgnnp.force_map import certify
from cgnnp.frames import Frames, check_arrays, split_contiguous
from cgnnp.mapping import Mapping
from cgnnp.models.potential import Potential
from cgnnp.models.registry import DTYPES, create_model
from cgnnp.plain_yaml import stored_text
from cgnnp.platforms import PlatformChoice, available_cores
from cgnnp.priors import Prior, prior_digest, prior_forces, read_priors
from cgnnp.priors.prior import first_sampled
from cgnnp.priors.prior_fit import numbered
from cgnnp.reference.source import Source
from cgnnp.report import write_rdf_csv, write_report
from cgnnp.simulation.bundle import load, save_bundle
from cgnnp.simulation.judgement import judge_replicas, judge_structure
from cgnnp.simulation.run import (
    FRAMES,
    SimulationSettings,
    open_replicas,
    replica_folders,
    side_by_side,
    simulate,
    speed_in_all,
)
from cgnnp.soundness import Soundness, check_soundness, worst
from cgnnp.training.checkpoints import load_checkpoint
from cgnnp.training.data import (
    ForceSet,
    average_neighbors,
    check_type_weights,
    make_loader,
    noise_weights,
    typed_weights,
)
from cgnnp.training.fit import FitSettings, fit, read_metrics
from cgnnp.training.metrics import fit_quality, predict_forces
from cgnnp.undeclared_bonds import warn_of_undeclared_bonds
from cgnnp.workflow.data_sets import check_mapping, density_ranges, joint_types, other_masses
from cgnnp.workflow.ions import PairFindings, dielectric_constant, find_pairs
from cgnnp.workflow.quality import independent_frames_per_s, noise_rows, quality_rows, rdf_row, set_quality
from cgnnp.workflow.run_folder import RunFolder

log = logging.getLogger("cgnnp")

MADE_FROM = (
    "data_check",
    "system",
    "r2_prior",
    "r2_model",
    "r2_stderr",
    "r2_refined",
    "r2_refined_stderr",
    "n_frames_train",
)
"""What a manifest takes from the summary; refined are None where nothing was."""

FROM_DATA = ("type_names", "inner_cutoff_nm", "avg_num_neighbors", "energy_scale")
"""Settings of networks that `fit_stage` finds in the data."""

WORSE_BY = 0.001
"""R2 that a network must cost for a warning, beside two errors: pairs cost less, which find nothing that the prior left."""

STARTS_WITHIN = 1.0
"""Share of a bound on the energies of beads that those of new weights take: beyond it they would learn nothing."""


def sample_stage(run: RunFolder, source: Source, mapping: Mapping, data_root: Path, platform: PlatformChoice) -> Frames:
    """Provide what is not cached and read the first `source.n_frames` frames.

    Raises:
        ValueError: the run was fitted to other frames; and what the source raises.
    """
    n_frames = source.n_frames
    with run.stage("sample"):
        directory = source.complete(mapping, data_root, platform)
    digest = frames_digest(directory, n_frames)
    if run.summary().get("data_digest", digest) != digest:
        raise ValueError(
            f"run_dir={run.path}: was fitted to other frames than those now in {directory} (sampled again?): "
            "choose another run_dir, or restore the data"
        )
    run.update(
        data_digest=digest,
        mapping=mapping.name,
        system=source.name,
        temperature_K=source.temperature_K,
        data=str(directory.resolve()),
        n_frames=n_frames,
        atomistic_ns_per_day=speed_ns_per_day(directory),
    )
    return source.frames(directory, mapping, n_frames)


def map_stage(run: RunFolder, sets: Sequence[Frames]) -> None:
    """Certify the force maps and test that positions, forces and boxes of each set belong together.

    Raises:
        ValueError: a map is wrong, a configurational temperature is not the thermostat's within 2 % and 4 sigma, boxes are
            not those of the positions, or single forces outweigh all others.
    """
    with run.stage("map", again=True):
        certificates = [certify(frames.mapping) for frames in sets]
        sound = []
        for frames, certificate in zip(sets, certificates, strict=True):
            log.info("%s", certificate)
            sound.append(check_soundness(frames))
            temperatures = sound[-1].consistency.temperatures
            for line in (*temperatures.by_pair, temperatures.combined)[len(temperatures.by_pair) == 1 :]:
                log.info("%s (thermostat %g K)", line, frames.temperature)
            log.info("%s", sound[-1].consistency.ybg)
            log.info("%s", sound[-1].box)
        loose = [warn_of_undeclared_bonds(frames) for frames in sets]
    found = [one.consistency for one in sound]
    bonds = next(filter(None, loose), None)
    run.update(certificate=certificates[0].to_dict(), data_check=worst(sound), undeclared_bonds=bonds, **found[0].to_dict())
    if len(sets) > 1:
        paths = [run.summary().get("data"), *run.summary().get("more_data", {})]
        rows = []
        for path, frames, consistency in zip(paths, sets, found, strict=True):
            known = consistency.to_dict()
            row = {"data": path, "n_frames": len(frames), "n_beads": frames.mapping.n_beads}
            rows.append(row | {key: known[key] for key in ("t_conf_K", "t_conf_stderr_K")})
        run.update(data_sets=rows)
    for one in sound:
        _refuse_unsound(one)


def _refuse_unsound(sound: Soundness) -> None:
    """Refuse what no model should be fitted to; say what could not be tested.

    Raises:
        ValueError: what disagrees. (A g-YBG residual alone does not: it is more sensitive than a fit.)
    """
    for text in sound.untested():
        log.warning("map: not tested: %s", text)
    if sound.box.agrees() is False:
        raise ValueError(
            f"{sound.box}: mend the boxes where the data come from, in the units of the positions, and map anew"
        )
    if sound.density_agrees() is False:
        raise ValueError(f"{sound.density:.3g} g/mL is more than any matter has: the boxes are too small, mend them")
    temperature, result = sound.consistency.temperature, sound.consistency.temperatures.combined
    if result.agrees(temperature) is False:
        raise ValueError(
            f"{result}, but the thermostat is at {temperature:g} K: forces and positions do not belong "
            "together (wrong force map, units, temperature or box); see the certificate above"
        )
    if sound.repeated:
        raise ValueError(f"{sound.repeated[0]}: errors would be too small, and held-out frames fitted: leave them out")
    if sound.outliers:
        raise ValueError(
            f"{sound.outliers[0]}: one such force outweighs all others in a fit: leave such frames out, or sample them again"
        )


def fit_stage(
    run: RunFolder,
    sets: Sequence[Frames],
    fit_priors: Callable[..., list[Prior]],
    make_model: Callable[..., Potential],
    settings: FitSettings,
    *,
    held_out_fraction: float = 0.1,
    dtype: str = "float32",
    type_weights: dict[str, float] | None = None,
    platform: str = "auto",
    draws: Frames | None = None,
) -> tuple[Potential, list[Prior]]:
    """Fit the priors, subtract the forces that OpenMM computes with them, fit the network to the rest, measure both.

    One model is fitted to all sets of frames, of each of which the last part is held out; it knows the bead types of all.
    Averaged forces are weighted by the noise of each bead type; `type_weights` multiply what beads count for in the
    network's loss. `draws` are other frames, with second draws, which tell how much of a fit to instantaneous forces is
    noise.

    Raises:
        ValueError: an unknown dtype, a mapping that cannot be fitted, sets that do not belong together, weights of types
            that there are not, too few frames, a prior that the data cannot determine, or a fit that diverged.
    """
    for frames in sets:
        check_mapping(frames.mapping)
    types = joint_types(numbered([frames.mapping for frames in sets]))
    check_type_weights(type_weights or {}, types.names)
    if dtype not in DTYPES:
        raise ValueError(f"trainer.dtype={dtype}: choose one of {', '.join(DTYPES)}")
    training, validation = zip(*(split_contiguous(frames, held_out_fraction) for frames in sets), strict=True)
    with run.stage("fit"):
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(available_cores())
        if types.unsampled:
            unsampled = ", ".join(map("-".join, types.unsampled))
            log.warning("fit: no data set has pairs %s: systems that have some will be refused", unsampled)
        averaged = any(frames.labels is not None for frames in sets)
        weights = noise_weights(list(training)) if averaged else None
        priors = _fitted_priors(run, training, fit_priors, weights, platform)
        loss_weights = typed_weights(training, weights, type_weights or {})
        train_sets, test_sets = (
            _force_sets(run, priors, parts, name, loss_weights, platform)
            for name, parts in (("training", training), ("validation", validation))
        )
        checkpoint = run.path / "checkpoints" / "best.ckpt"
        if run.finished("fit") and checkpoint.exists():
            log.info("fit: finished before, reading %s", checkpoint)
            model = load_checkpoint(checkpoint)
        else:
            run.update(finished=[])  # what was exported of an earlier fit is not of this one, nor what was refined
            shutil.rmtree(run.path / "refinement", ignore_errors=True)
            new = _new_model(make_model, train_sets, types.names, priors, dtype)
            model = fit(new, train_sets, test_sets, settings, run.path)
        network = [predict_forces(model, part) for part in test_sets]
        quality = fit_quality(test_sets, network)
        total = test_sets[0].prior_forces + network[0]
        forces_on = functools.partial(total_forces, model, priors, platform=platform)
        by_set = [fit_quality([part], [forces]) for part, forces in zip(test_sets, network, strict=True)]
        noise = noise_rows(sets[0], validation[0], total, by_set[0].r2_model, draws, forces_on)
    if rows := run.summary().get("data_sets"):
        run.update(data_sets=[row | set_quality(found) for row, found in zip(rows, by_set, strict=True)])
    run.update(
        n_frames_train=sum(map(len, training)),
        n_frames_validation=sum(map(len, validation)),
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        **quality_rows(quality),
        **noise,
    )
    run.mark_finished("fit")
    log.info(
        "fit: R2 of the prior %.4f(%.4f), of prior and network %.4f(%.4f), gain %.4f(%.4f), on %d held-out frames",
        *(quality.r2_prior.value, quality.r2_prior.stderr, quality.r2_model.value, quality.r2_model.stderr),
        *(quality.gain.value, quality.gain.stderr, sum(map(len, validation))),
    )
    if quality.gain.value < -max(WORSE_BY, 2 * quality.gain.stderr):
        log.warning(
            "fit: prior and network are worse than the prior alone: take another network, more frames or a lower "
            "trainer.learning_rate, or set model.energy_bound_kJ_mol"
        )
    _log_noise(noise)
    return model, priors


def export_stage(run: RunFolder, model: Potential, priors: list[Prior], sets: Sequence[Frames]) -> Path:
    """Write the bundle, for the bead types of all data sets, with the first one's last frame as starting configuration."""
    with run.stage("export", again=True):
        summary = run.summary()
        first = {"-".join(pair): distance for prior in priors for pair, distance in prior.first_sampled().items()}
        made = {key: summary.get(key) for key in MADE_FROM}
        mappings = numbered([frames.mapping for frames in sets])
        types = joint_types(mappings)
        for line in other_masses(types, mappings):
            log.warning("export: %s", line)
        extra = {
            "number_density_nm3": density_ranges(sets, types.names),
            "bead_masses_Da": types.masses,
            "bead_charges_e": types.charges,
            "first_sampled_nm": first,
            "network_cutoff_nm": model.cutoff,
            "made_from": made,
        }
        if (eps_r := dielectric_constant(priors)) is not None:
            charged = next((frames for frames in sets if frames.mapping.is_charged), sets[0])
            extra |= {"eps_r": eps_r, "solvent": _solvent(charged, eps_r)}
        save_bundle(run.potential, model, priors, sets[0], extra)
    run.update(potential="potential")
    run.mark_finished("export")
    log.info("export: %s", run.potential)
    return run.potential


def _solvent(frames: Frames, eps_r: float) -> dict[str, Any]:
    """What is known of the solvent, with the dielectric constant that the model has."""
    known = frames.meta.provenance.get("solvent") or {}
    if known.get("eps_r") == eps_r:
        return known
    kept = {key: value for key, value in known.items() if not key.startswith("eps_r")}
    return {**kept, "eps_r": eps_r, "eps_r_source": "prior.eps_r"}


def simulate_stage(
    run: RunFolder, settings: SimulationSettings, protocol: LangevinProtocol, frames: Frames | None = None
) -> Consistency:
    """Run the bundle of a run; replicas start from atomistic frames spread over the data where there are any.

    Returns what the frames tell of the temperature that they were drawn at.
    """
    starts = None if frames is None else starting_positions(frames)
    with run.stage("simulate"):
        folders = simulate(run.potential, run.simulation, settings, protocol, starts)
        kinetic, found = judge_replicas(folders, protocol)
    speed, at_a_time = speed_in_all(folders), side_by_side(len(folders))
    meta, info = read_meta(folders[0] / FRAMES), chunk_infos(folders[0] / FRAMES)[-1]
    run.update(
        cg_ns_per_day=speed,
        cg_replicas=len(folders),
        cg_length_ps=sum(count_frames(folder / FRAMES) for folder in folders) * meta.interval,
        cg_temperature_K=None if kinetic is None else kinetic.value,
        cg_temperature_stderr_K=None if kinetic is None else kinetic.stderr,
        cg_thermostat_K=protocol.temperature_K,
        timestep_fs=protocol.timestep_fs,
        force_backend=meta.provenance["force_backend"],
        platform=info.get("platform"),
    )
    log.info("simulate: %.0f ns/day in all (%d replicas, %d side by side)", speed, len(folders), at_a_time)
    return found


def starting_positions(frames: Frames) -> np.ndarray:
    """Positions of eight frames spread over the data, the last first."""
    return frames.positions[np.linspace(len(frames) - 1, 0, 8).astype(int)]


def compare_stage(run: RunFolder, frames: Frames, found: Consistency | None = None) -> dict[str, Any]:
    """g(r) of the data and of the coarse-grained run, their deviation, T_conf of the run, isolated dimers, ions as salts.

    Writes CSV, PNG, summary and report. `found` is what `simulate_stage` found; it is found again without.

    Raises:
        FileNotFoundError: there is no coarse-grained run yet.
        ValueError: its frames are damaged.
    """
    with run.stage("compare", again=True):
        folders = replica_folders(run.simulation)
        coarse = open_replicas(folders[: run.summary().get("cg_replicas")])  # all of a first run that was interrupted
        r_max = min(longest_distance(frames), longest_distance(coarse))
        curves = list(zip(rdf(frames, r_max), rdf(coarse, r_max), strict=True))
        found = judge_structure(coarse, "compare") if found is None else found
        pairs = find_pairs(frames, coarse, [curve.pair for curve, _ in curves], load(run.potential, self_check=False))
    rows = [rdf_row(*pair) for pair in curves]
    for row in rows:
        log.info(
            "compare: %s %s: D %.4f (noise of the data %.4f, of the run %.4f), first peak %.4f nm %.3f against %.4f nm %.3f",
            *(row["pair"], in_words(row), row["deviation"], row["deviation_noise"], row["deviation_noise_cg"]),
            *(row["peak_r_nm_cg"], row["peak_g_cg"], row["peak_r_nm_atomistic"], row["peak_g_atomistic"]),
        )
    run.update(
        rdf=rows,
        independent_frames_per_s=independent_frames_per_s(run.summary(), frames, coarse, curves),
        **found.to_dict("_cg"),
        **pairs.to_dict(),
    )
    write_rdf_csv(run.path / "rdf.csv", curves)
    pairs.write_csv(run.path, curves, (frames.temperature, coarse.temperature))
    return report_stage(run, curves, pairs)


def report_stage(run: RunFolder, curves: list[tuple[Rdf, Rdf]], pairs: PairFindings | None = None) -> dict[str, Any]:
    """Write report.html and its pictures from what the run folder holds, and return the summary."""
    prior_file = run.potential / "prior.json"
    priors = read_priors(prior_file, "export the potential again") if prior_file.exists() else []
    summary = run.update(run=run.path.name, eps_r=dielectric_constant(priors))
    log_file = run.path / "train.log"
    log_tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-40:]) if log_file.exists() else ""
    config = stored_text(run.config_file)
    pictures = {} if pairs is None else pairs.drawings()
    page = write_report(run.path, summary, curves, read_metrics(run.metrics_file), priors, config, log_tail, pictures)
    log.info("report: %s", page)
    return summary


def _log_noise(noise: dict[str, Any]) -> None:
    """What second draws tell, where there are any."""
    if noise["r2_max"] is not None:
        shares = [noise[key] or 0.0 for key in ("r2_over_r2_max", "r2_over_r2_max_stderr")]
        log.info("fit: R2_max %.4f(%.4f), reached %.2f(%.2f) of it", noise["r2_max"], noise["r2_max_stderr"], *shares)
    if noise["pmf_error_kJ_mol_nm"] is not None:
        log.info(
            "fit: error of the mean force %.2f(%.2f) kJ/mol/nm, %.3f(%.3f) of its variance, free of noise, on %d frames",
            *(noise["pmf_error_kJ_mol_nm"], noise["pmf_error_stderr_kJ_mol_nm"], noise["pmf_error_relative"]),
            *(noise["pmf_error_relative_stderr"], noise["n_second_draws"]),
        )


def total_forces(model: Potential, priors: list[Prior], frames: Frames, platform: str) -> np.ndarray:
    """Forces of prior and network."""
    data = ForceSet(frames, prior_forces(priors, frames, platform))
    return data.prior_forces + predict_forces(model, data)


def _fitted_priors(
    run: RunFolder,
    training: Sequence[Frames],
    fit_priors: Callable[..., list[Prior]],
    weights: list[np.ndarray] | None,
    platform: str,
) -> list[Prior]:
    """The priors of this run, fitted once."""
    file = run.path / "prior.json"
    if not file.exists():
        log.info("fit: the priors, on %d frames", sum(map(len, training)))
        priors = fit_priors(*training, weights=weights, platform=platform)
        write_checked(file, json_text([prior.to_dict() for prior in priors]))
    return read_priors(file, "delete it: the same command fits the priors again")


def _force_sets(
    run: RunFolder,
    priors: list[Prior],
    parts: Sequence[Frames],
    name: str,
    weights: list[np.ndarray] | None,
    platform: str,
) -> list[ForceSet]:
    """Frames with what the priors explain of their forces; `name` says what they are for."""
    forces = [_stored_prior_forces(run, priors, part, f"{name}_{k}", platform) for k, part in enumerate(parts)]
    return [
        ForceSet(part, known, None if weights is None else weights[k])
        for k, (part, known) in enumerate(zip(parts, forces, strict=True))
    ]


def _stored_prior_forces(run: RunFolder, priors: list[Prior], frames: Frames, name: str, platform: str) -> np.ndarray:
    """Forces of the priors on the frames by OpenMM, computed once and kept beside the checkpoints under the prior's hash."""
    file = run.path / "checkpoints" / f"prior_forces_{name}_{prior_digest(priors)}.npy"
    if file.exists():
        try:
            return _read_prior_forces(file, frames)
        except ValueError as error:  # nothing is lost with it
            log.info("fit: computing them again: %s", error)
    forces = prior_forces(priors, frames, platform)
    file.parent.mkdir(exist_ok=True)
    np.save(content := io.BytesIO(), forces)
    write_checked(file, content.getvalue())
    return forces


def _read_prior_forces(file: Path, frames: Frames) -> np.ndarray:
    """Stored forces of the priors.

    Raises:
        ValueError: damaged, of other frames, or of an earlier version, whose files have no checksum.
    """
    check_file(file, "damaged", unknown=False)
    stored = np.asarray(read_array(file, "damaged"))
    check_arrays(frames.positions, stored, frames.boxes, frames.mapping.n_beads, str(file))
    return stored


def _new_model(
    make_model: Callable[..., Potential],
    sets: Sequence[ForceSet],
    type_names: Sequence[str],
    priors: list[Prior],
    dtype: str,
) -> Potential:
    """A network that knows from the data its bead types, scales and where sampling begins, and starts within its bound."""
    names = list(type_names)
    first = first_sampled(priors)
    inner = [[first.get(frozenset((a, b)), 0.0) for b in names] for a in names]
    squares = [float(np.square(data.residual, dtype=np.float64).sum()) for data in sets]
    residual = float(np.sqrt(sum(squares) / sum(data.residual.size for data in sets)))
    scale = 0.1 * residual  # a residual force over 0.1 nm
    cutoff = make_model(type_names=names).cutoff
    settings = {
        "type_names": names,
        "inner_cutoff_nm": inner,
        "avg_num_neighbors": float(np.mean([average_neighbors(data.frames, cutoff) for data in sets])),
        "energy_scale": scale,
    }
    model = create_model(make_model, settings, DTYPES[dtype])
    if model.energy_bound > 0:
        free = create_model(make_model, settings | {"energy_bound_kJ_mol": None}, DTYPES[dtype])
        largest = max(_largest_energy(free, data) for data in sets)
        if largest > STARTS_WITHIN * model.energy_bound:
            settings["energy_scale"] = scale * STARTS_WITHIN * model.energy_bound / largest
            model = create_model(make_model, settings, DTYPES[dtype])
    return model


def _largest_energy(model: Potential, data: ForceSet) -> float:
    """Of a bead in the first frame, kJ/mol."""
    graph, _, _ = next(iter(make_loader([data], model.type_names, model.cutoff, model.precision(), 1)))
    with torch.no_grad():
        return float(model(graph.vectors, graph.receivers, graph.senders, graph.types).abs().max())
