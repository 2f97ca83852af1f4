"""The contents of summary.json: one field for each entry, grouped by the stages of a job that produce them.

Entries keep their names and meanings between versions of cgnnp. New entries may be added; `schema_version` increases when
the meaning of an entry changes. Entries of stages that a run does not have are null.

This module imports the standard library only.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 3
"""Version of summary.json.

Version 1 had no entry with the version. Version 2 had coordination, potentials of mean force and Kirkwood-Buff integrals in
`electrolyte`.
"""

Row = dict[str, Any]
"""Plain data, with units in the keys."""


@dataclass(frozen=True, kw_only=True)
class JobFigures:
    """Identity of the job, and where it ran.

    Args:
        run: name of the run folder.
        command: command line of the job.
        created: local time at which the job began (ISO 8601).
        versions: versions of packages; null for packages that are not installed.
        cores: number of CPU cores that the job may use.
        processor: name of the processor, as the operating system reports it.
        timings_s: wall time of each stage in seconds, summed over all jobs that worked on the run.
        finished: stages that are complete and will not be repeated.
    """

    run: str | None = None
    command: str | None = None
    created: str | None = None
    versions: Row = field(default_factory=dict)
    cores: int | None = None
    processor: str | None = None
    timings_s: dict[str, float] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DataFigures:
    """The frames that the job uses.

    Args:
        system: name of the sampled system.
        mapping: name of the mapping.
        temperature_K: temperature of the frames.
        data: folder of the first data set.
        data_digest: hash of those frames of the first data set that the job uses.
        n_frames: number of frames of the first data set that the job uses.
        more_data: hashes of the further data sets, by folder.
        atomistic_ns_per_day: speed of the atomistic simulation; null if this job did not sample.
    """

    system: str | None = None
    mapping: str | None = None
    temperature_K: float | None = None
    data: str | None = None
    data_digest: str | None = None
    n_frames: int | None = None
    more_data: dict[str, str] = field(default_factory=dict)
    atomistic_ns_per_day: float | None = None


@dataclass(frozen=True, kw_only=True)
class TemperatureFigures:
    """A configurational temperature and a g-YBG residual. In summary.json, their entries begin with t_conf or t_conf_cg.

    Args:
        pair: kinds of pairs that the temperature is computed from.
        K, stderr_K: value and standard error, in K.
        reason: reason why the temperature has no value.
        tau_frames: integrated autocorrelation time in frames.
        reliable: whether the run is long enough for a reliable error.
        pairs: the same entries for every kind of pair.
        ybg: the g-YBG residual (`ybg`, `ybg_cg` in summary.json).
    """

    pair: str | None = None
    K: float | None = None
    stderr_K: float | None = None
    reason: str | None = None
    tau_frames: float | None = None
    reliable: bool | None = None
    pairs: list[Row] = field(default_factory=list)
    ybg: Row | None = None


@dataclass(frozen=True, kw_only=True)
class CheckFigures:
    """Results of the checks of the mapped frames.

    Args:
        certificate: certificate of the force map.
        data_check: `verdict` (agrees, disagrees, not tested) and `reasons`.
        undeclared_bonds: pairs of beads that look bonded; null if there are none.
        t_conf: configurational temperature of the first data set.
        set_rows: folder, frames, beads and T_conf of each data set, if there are several (`data_sets` in summary.json).
    """

    certificate: Row | None = None
    data_check: Row | None = None
    undeclared_bonds: Row | None = None
    t_conf: TemperatureFigures = TemperatureFigures()
    set_rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class FitFigures:
    """Quality of prior and network on held-out frames of all data sets.

    Args:
        n_frames_train, n_frames_validation: number of frames that were fitted, and number that were held out.
        n_parameters: number of parameters of the network.
        seed: seed of the network and its fit; null if the trainer has none.
        force_rms_kJ_mol_nm, force_rmse_kJ_mol_nm: root mean square of a component of the mapped forces, and root mean square
            error of the model.
        r2_prior, r2_prior_stderr: R2 of the priors alone.
        r2_model, r2_stderr: R2 of priors and network.
        r2_tau_frames, r2_reliable: autocorrelation time that the error of R2 is based on, and whether the run is long enough
            for a reliable error.
        r2_gain, r2_gain_stderr: R2 of priors and network minus R2 of the priors, with its paired error.
        averaging_ps: averaging time of the forces; 0 for instantaneous forces.
        r2_max, r2_max_stderr: the largest R2 that any model can reach with these forces, from second draws.
        r2_over_r2_max, r2_over_r2_max_stderr: R2 of the model divided by r2_max.
        r2_instantaneous, r2_instantaneous_stderr, r2_max_instantaneous, r2_max_instantaneous_stderr: R2 and R2_max with
            respect to instantaneous forces, also if averaged forces were fitted.
        label_drift, label_drift_stderr: relative change of averaged forces between the two halves of the averaging time.
        pmf_error_kJ_mol_nm, pmf_error_stderr_kJ_mol_nm: root mean square error of the model relative to the mean force, free
            of noise.
        pmf_error_relative, pmf_error_relative_stderr: mean square error of the model relative to the mean force, free of
            noise, divided by the variance of the mean force.
        n_second_draws: number of frames with second draws from which the PMF error is computed.
        quality_rows: R2 on each data set, if there are several (`data_sets` in summary.json).
    """

    n_frames_train: int | None = None
    n_frames_validation: int | None = None
    n_parameters: int | None = None
    seed: int | None = None
    force_rms_kJ_mol_nm: float | None = None
    force_rmse_kJ_mol_nm: float | None = None
    r2_prior: float | None = None
    r2_prior_stderr: float | None = None
    r2_model: float | None = None
    r2_stderr: float | None = None
    r2_tau_frames: float | None = None
    r2_reliable: bool | None = None
    r2_gain: float | None = None
    r2_gain_stderr: float | None = None
    averaging_ps: float | None = None
    r2_max: float | None = None
    r2_max_stderr: float | None = None
    r2_over_r2_max: float | None = None
    r2_over_r2_max_stderr: float | None = None
    r2_instantaneous: float | None = None
    r2_instantaneous_stderr: float | None = None
    r2_max_instantaneous: float | None = None
    r2_max_instantaneous_stderr: float | None = None
    label_drift: float | None = None
    label_drift_stderr: float | None = None
    pmf_error_kJ_mol_nm: float | None = None
    pmf_error_stderr_kJ_mol_nm: float | None = None
    pmf_error_relative: float | None = None
    pmf_error_relative_stderr: float | None = None
    n_second_draws: int | None = None
    quality_rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class RefinementFigures:
    """Results of the refinement of the pair splines.

    Args:
        refinement: for every step, chi2 per function, number of functions, and largest change of a pair potential (kT).
        r2_refined, r2_refined_stderr: R2 of the refined model.
    """

    refinement: list[Row] | None = None
    r2_refined: float | None = None
    r2_refined_stderr: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExportFigures:
    """The exported potential.

    Args:
        potential: folder of the potential, relative to the folder of the run.
        eps_r: dielectric constant of the Coulomb prior; null without such a prior.
        potential_temperature_K: temperature at which the potential is a free energy; null if it is that of the data.
    """

    potential: str | None = None
    eps_r: float | None = None
    potential_temperature_K: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """The coarse-grained simulation.

    Args:
        cg_ns_per_day: speed of all parallel replicas together.
        cg_replicas: number of replicas.
        cg_length_ps: total length of all replicas.
        cg_temperature_K, cg_temperature_stderr_K: measured kinetic temperature.
        cg_thermostat_K: temperature of the thermostat.
        timestep_fs: time step of the dynamics.
        force_backend, platform: back end and OpenMM platform that computed the forces.
        cg_cores, cg_processor: cores that the simulation could use, and their processor; null for runs of older versions.
    """

    cg_ns_per_day: float | None = None
    cg_replicas: int | None = None
    cg_length_ps: float | None = None
    cg_temperature_K: float | None = None
    cg_temperature_stderr_K: float | None = None
    cg_thermostat_K: float | None = None
    timestep_fs: float | None = None
    force_backend: str | None = None
    platform: str | None = None
    cg_cores: int | None = None
    cg_processor: str | None = None


@dataclass(frozen=True, kw_only=True)
class ComparisonFigures:
    """Comparison of the coarse-grained run with the atomistic data.

    Args:
        rdf: D, its noise, the residual and the first peaks of g(r), for every kind of pair.
        t_conf_cg: configurational temperature of the coarse-grained run.
        independent_frames_per_s: independent frames per second, `atomistic` and `cg`, from the slowest first-shell
            coordination number.
        dimers: isolated dimers of the model.
        solvent_eliminated: whether the beads are solutes whose solvent was left out.
        virial_pressure: virial pressure of charged beads.
        observables: rows of the other observables, by their names.
        judgements: judgement of every compared quantity: name of the quantity (`what`), `verdict`, `deviation`,
            `expected_deviation`, and `absolute` (such as "mean q lower") if the deviation is not a relative one.
        compared_with: data set of the comparison, if it is not the run's own.
        comparison: `created`, the local time of the comparison (ISO 8601), and `settings`, the observables with their
            settings, in the form that they have under `compare` in the configuration.
    """

    rdf: list[Row] = field(default_factory=list)
    t_conf_cg: TemperatureFigures = TemperatureFigures()
    independent_frames_per_s: Row | None = None
    dimers: list[Row] = field(default_factory=list)
    solvent_eliminated: bool | None = None
    virial_pressure: Row | None = None
    observables: Row = field(default_factory=dict)
    judgements: list[Row] = field(default_factory=list)
    compared_with: str | None = None
    comparison: Row | None = None


@dataclass(frozen=True, kw_only=True)
class Summary(
    ComparisonFigures, RunFigures, ExportFigures, RefinementFigures, FitFigures, CheckFigures, DataFigures, JobFigures
):
    """All results of a job.

    >>> Summary(r2_model=0.65).r2_model
    0.65
    """

    @classmethod
    def of(cls, *found: Any) -> "Summary":
        """Combine the results of several stages into one summary.

        >>> Summary.of(DataFigures(n_frames=60), RunFigures(cg_replicas=2)).cg_replicas
        2
        """
        values: dict[str, Any] = {}
        for figures in found:
            values |= {entry.name: getattr(figures, entry.name) for entry in dataclasses.fields(figures)}
        return cls(**values)

    @property
    def data_sets(self) -> list[Row]:
        """One row for each data set, if there are several: the entries of its checks and of its fit."""
        quality: list[Row] = self.quality_rows or [{} for _ in self.set_rows]
        return [row | found for row, found in zip(self.set_rows, quality, strict=True)]

    def to_dict(self) -> Row:
        """Return the entries of summary.json."""
        entries: Row = {"schema_version": SCHEMA_VERSION}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, TemperatureFigures):
                entries |= temperature_entries(entry.name, value)
            elif entry.name not in ("set_rows", "quality_rows"):
                entries[entry.name] = value
        return entries | {"data_sets": self.data_sets}

    @classmethod
    def from_dict(cls, data: Row) -> "Summary":
        """Build a summary from the entries of summary.json. Missing entries are null.

        Raises:
            ValueError: the entries are from another version, or there is an unknown entry.
        """
        if (version := data.get("schema_version", SCHEMA_VERSION)) != SCHEMA_VERSION:
            raise ValueError(
                f"schema_version is {version}, but this version of cgnnp reads {SCHEMA_VERSION}: use the version of cgnnp "
                "that wrote the file"
            )
        data = {key: value for key, value in data.items() if key != "schema_version"}
        sets = data.pop("data_sets", None) or []
        for name in ("t_conf", "t_conf_cg"):
            given = {entry: data.pop(_key(name, entry), None) for entry in TEMPERATURE_ENTRIES}
            data[name] = TemperatureFigures(**{entry: value for entry, value in given.items() if value is not None})
        known = {entry.name for entry in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ValueError(
                f"unknown entry '{unknown[0]}' in a summary: use the version of cgnnp that wrote it, or remove the entry"
            )
        return cls(**{key: value for key, value in data.items() if value is not None}, set_rows=sets)


TEMPERATURE_ENTRIES = tuple(entry.name for entry in dataclasses.fields(TemperatureFigures))


def _key(name: str, entry: str) -> str:
    return name.replace("t_conf", "ybg") if entry == "ybg" else f"{name}_{entry}"


def temperature_entries(name: str, value: TemperatureFigures) -> Row:
    """Return the entries of summary.json for a configurational temperature. `name` is t_conf or t_conf_cg."""
    return {_key(name, entry): getattr(value, entry) for entry in TEMPERATURE_ENTRIES}
