"""summary.json as a value: what a job found, one field an entry, by the stages that find it.

Entries keep their names and meaning between versions; new ones are added, and `schema_version` grows when one changes.
Those of stages that a run does not have are null. Imports the standard library only.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 3
"""1 had no such entry; 2 had coordination, potentials of mean force and Kirkwood-Buff integrals in `electrolyte`."""

Row = dict[str, Any]
"""Plain data with units in its keys."""


@dataclass(frozen=True, kw_only=True)
class JobFigures:
    """Which job it was.

    Args:
        run: name of the run folder.
        command: the command line.
        created: when it was begun, local time (ISO 8601).
        versions: of packages, null for those that are not installed.
        cores: that the job may use.
        processor: their name, as the machine has it.
        timings_s: wall time of every stage in all visits to the run, seconds.
        finished: stages that will not be done again.
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
    """The frames of the job.

    Args:
        system: what was sampled.
        mapping: name of the mapping.
        temperature_K: of the frames.
        data: folder of the first data set.
        data_digest: hash of the frames in it that are used.
        n_frames: of them.
        more_data: hashes of the further data sets, by folder.
        atomistic_ns_per_day: speed of the atomistic simulation; null where it was not run here.
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
    """A configurational temperature and the g-YBG residual; in the file each entry begins with the name of the field.

    Args:
        pair: kinds of pairs that it is of.
        K, stderr_K: value and standard error.
        reason: why it has no value.
        tau_frames: integrated autocorrelation time.
        reliable: whether the run is long enough for its error.
        pairs: the same of every kind of pair.
        ybg: the residual (`ybg`, `ybg_cg` in the file).
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
    """Whether the mapped frames are sound.

    Args:
        certificate: of the force map.
        data_check: `verdict` (agrees, disagrees, not tested) and `reasons`.
        undeclared_bonds: pairs of beads that look bonded, null where none do.
        t_conf: of the first data set.
        set_rows: of several data sets: folder, frames, beads and T_conf of each (in `data_sets` in the file).
    """

    certificate: Row | None = None
    data_check: Row | None = None
    undeclared_bonds: Row | None = None
    t_conf: TemperatureFigures = TemperatureFigures()
    set_rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class FitFigures:
    """How good prior and network are on held-out frames of all data sets.

    Args:
        n_frames_train, n_frames_validation: frames that were fitted, and held out.
        n_parameters: of the network.
        seed: of the network and its fit; null where the trainer has none.
        force_rms_kJ_mol_nm, force_rmse_kJ_mol_nm: of a component of the mapped forces, and of what the model leaves of it.
        r2_prior, r2_prior_stderr: explained variance of the priors alone.
        r2_model, r2_stderr: of priors and network.
        r2_tau_frames, r2_reliable: autocorrelation time of its error, and whether the run is long enough for it.
        r2_gain, r2_gain_stderr: the difference of the two, with its paired error.
        averaging_ps: time that forces were averaged over; 0 for instantaneous ones.
        r2_max, r2_max_stderr: the largest that any model can reach with these forces, from second draws.
        r2_over_r2_max, r2_over_r2_max_stderr: how much of it the model reaches.
        r2_instantaneous, r2_instantaneous_stderr, r2_max_instantaneous, r2_max_instantaneous_stderr: the same against
            instantaneous forces, whatever was fitted.
        label_drift, label_drift_stderr: relative change of averaged forces between the halves of the averaging time.
        pmf_error_kJ_mol_nm, pmf_error_stderr_kJ_mol_nm: distance from the mean force, free of noise.
        pmf_error_relative, pmf_error_relative_stderr: the same as a part of the variance of the mean force.
        n_second_draws: frames with second draws that these are of.
        quality_rows: R2 of each of several data sets (in `data_sets` in the file).
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
    """What the refinement of the pair splines did.

    Args:
        refinement: chi2 per function, number of functions and largest change (kT) of every step.
        r2_refined, r2_refined_stderr: explained variance of the refined model.
    """

    refinement: list[Row] | None = None
    r2_refined: float | None = None
    r2_refined_stderr: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExportFigures:
    """The exported potential.

    Args:
        potential: its folder, within that of the run.
        eps_r: dielectric constant of its Coulomb prior; null without one.
        potential_temperature_K: that it is a free energy at; null where it is that of the data.
    """

    potential: str | None = None
    eps_r: float | None = None
    potential_temperature_K: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """The coarse-grained simulation.

    Args:
        cg_ns_per_day: of all replicas that run side by side.
        cg_replicas: their number.
        cg_length_ps: of all together.
        cg_temperature_K, cg_temperature_stderr_K: kinetic temperature, measured.
        cg_thermostat_K: what it should be.
        timestep_fs: of the dynamics.
        force_backend, platform: what computed the forces.
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


@dataclass(frozen=True, kw_only=True)
class ComparisonFigures:
    """The coarse-grained run beside the atomistic data.

    Args:
        rdf: D, its noise, the residual and the first peaks of g(r) of every kind of pair.
        t_conf_cg: of the coarse-grained run.
        independent_frames_per_s: `atomistic` and `cg`, by the slowest first-shell coordination number.
        dimers: isolated dimers of the model.
        solvent_eliminated: whether the beads are solutes whose solvent was left out.
        virial_pressure: of charged beads.
        observables: rows of the other observables, by their names.
        judgements: of every quantity that is compared: `what` it is, `verdict`, `deviation`, `expected_deviation`.
        compared_with: another data set than the run's own that it was compared with.
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


@dataclass(frozen=True, kw_only=True)
class Summary(
    ComparisonFigures, RunFigures, ExportFigures, RefinementFigures, FitFigures, CheckFigures, DataFigures, JobFigures
):
    """All that a job found.

    >>> Summary(r2_model=0.65).r2_model
    0.65
    """

    @classmethod
    def of(cls, *found: Any) -> "Summary":
        """The figures of several stages together.

        >>> Summary.of(DataFigures(n_frames=60), RunFigures(cg_replicas=2)).cg_replicas
        2
        """
        values: dict[str, Any] = {}
        for figures in found:
            values |= {entry.name: getattr(figures, entry.name) for entry in dataclasses.fields(figures)}
        return cls(**values)

    @property
    def data_sets(self) -> list[Row]:
        """What is known of each of several data sets."""
        quality: list[Row] = self.quality_rows or [{} for _ in self.set_rows]
        return [row | found for row, found in zip(self.set_rows, quality, strict=True)]

    def to_dict(self) -> Row:
        """The entries of summary.json."""
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
        """Inverse of `to_dict`; entries that are missing are null.

        Raises:
            ValueError: of another version, or entries that there are not.
        """
        if (version := data.get("schema_version", SCHEMA_VERSION)) != SCHEMA_VERSION:
            raise ValueError(f"schema_version is {version}, this cgnnp reads {SCHEMA_VERSION}")
        data = {key: value for key, value in data.items() if key != "schema_version"}
        sets = data.pop("data_sets", None) or []
        for name in ("t_conf", "t_conf_cg"):
            given = {entry: data.pop(_key(name, entry), None) for entry in TEMPERATURE_ENTRIES}
            data[name] = TemperatureFigures(**{entry: value for entry, value in given.items() if value is not None})
        known = {entry.name for entry in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ValueError(f"a summary has no entry '{unknown[0]}'")
        return cls(**{key: value for key, value in data.items() if value is not None}, set_rows=sets)


TEMPERATURE_ENTRIES = tuple(entry.name for entry in dataclasses.fields(TemperatureFigures))


def _key(name: str, entry: str) -> str:
    return name.replace("t_conf", "ybg") if entry == "ybg" else f"{name}_{entry}"


def temperature_entries(name: str, value: TemperatureFigures) -> Row:
    """The entries of a file for a configurational temperature of some name."""
    return {_key(name, entry): getattr(value, entry) for entry in TEMPERATURE_ENTRIES}
