"""The Python interface: every stage of the job as a function, for notebooks and scripts.

    data = cgnnp.sample_frames("water_spce", mapping="water_cg", n_frames=1500)
    fitted = cgnnp.fit(data)
    potential = cgnnp.export(fitted, "potential")
    run = cgnnp.run_dynamics(potential, length_ps=240)
    found = cgnnp.compare_frames(data, run)
    cgnnp.write_report("report.html", data, fitted, run, found)

Options have the same names and defaults as in the commands (`cgnnp.option`). Sampled data, exported potentials and
simulations are kept in folders. The same call later reuses them, or continues if they are not complete.
"""

import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from cgnnp.analysis.figures import LIGHT
from cgnnp.analysis.figures_fit import plot_history
from cgnnp.analysis.observables.choice import choice
from cgnnp.analysis.observables.observable import BothSides, Observable
from cgnnp.frames.frames import Frames
from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.mapping import Mapping
from cgnnp.models.registry import Architecture, architecture
from cgnnp.priors import PriorTerm
from cgnnp.priors.coulomb import dielectric_constant
from cgnnp.reference.source import Source
from cgnnp.report.page import write_report as write_page
from cgnnp.report.summary import DataFigures, ExportFigures, Summary
from cgnnp.runtime.options import constructed, option, option_values
from cgnnp.runtime.platforms import choose_platform
from cgnnp.simulation.beads import Composition
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.potential_files import load, save_bundle
from cgnnp.training.trainer import Trainer
from cgnnp.workflow.comparing import Comparison, compare_sides
from cgnnp.workflow.fitting import Fitted, fit_model
from cgnnp.workflow.plan import OF_THE_POTENTIAL, FitPlan
from cgnnp.workflow.potential_check.check import PotentialCheck
from cgnnp.workflow.potential_check.check import check_potential as check
from cgnnp.workflow.potential_check.page import write_potential_check
from cgnnp.workflow.running import CoarseRun, run_potential
from cgnnp.workflow.simulation_folder import check_same_beads, folder_beside, name_of, remember, speed_of
from cgnnp.workflow.sound_data import check_sets

log = logging.getLogger("cgnnp")

AnyMapping = str | Mapping | Callable[[Atomistic], Mapping]


def sample_frames(
    system: Any = "water_spce",
    mapping: AnyMapping = "water_cg",
    *,
    reference: str = "langevin",
    data_dir: str | Path = "data",
    platform: str = "auto",
    **settings: Any,
) -> Frames:
    """Sample an atomistic system and return its mapped frames. Frames that the data cache has are not sampled again.

    Args:
        system: name of a system (water_spce, electrolyte, ...), or a system that `option("system", ...)` returned.
        mapping: name of a mapping (water_cg, ions, ...), a mapping, or a function that returns one for the atoms.
        reference: method of sampling: langevin, langevin_dense or mean_force.
        data_dir: folder of the data cache, which `python -m cgnnp.sample` uses too.
        platform: name of the OpenMM platform; auto takes the fastest.
        **settings: settings of the sampling: n_frames, temperature_K, equilibration_ps, ...

    Raises:
        ValueError: a name is unknown, or a setting is wrong.
        SimulationFailed: the simulation blew up.

    >>> data = sample_frames("water_spce", n_frames=1500)       # doctest: +SKIP
    """
    _be_heard()
    made = option("system", system) if isinstance(system, str) else system
    source: Source = option("reference", reference, **settings)(system=made)
    return _provided(source, mapping, data_dir, platform)


def read_frames(
    trajectory: str | Path | Sequence[str | Path],
    mapping: AnyMapping = "water_cg",
    *,
    data_dir: str | Path = "data",
    **settings: Any,
) -> Frames:
    """Map a trajectory with forces that another engine wrote.

    Args:
        trajectory: the file with positions and forces, or several consecutive files.
        mapping: name of a mapping (water_cg, ions, ...), a mapping, or a function that returns one for the atoms.
        data_dir: folder in which the mapped frames are kept.
        **settings: topology (or types), rigid, temperature_K, units, ...: see
        `cgnnp.reference.trajectories.file_source.from_files`.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a setting is missing or wrong; the message says which.

    >>> data = read_frames("run.trr", topology="conf.gro", rigid="water", temperature_K=300.0)       # doctest: +SKIP
    """
    _be_heard()
    files = [trajectory] if isinstance(trajectory, str | Path) else list(trajectory)
    source: Source = option("reference", "files", trajectory=[str(file) for file in files], **settings)()
    return _provided(source, mapping, data_dir, "Reference")


def fit(
    data: Frames | Sequence[Frames],
    *,
    model: str | Architecture = "nequip",
    prior: Sequence[str | PriorTerm] | str | PriorTerm = ("coulomb", "pairs"),
    trainer: str | Trainer = "force_matching",
    draws: Frames | None = None,
    folder: str | Path | None = None,
    platform: str = "auto",
    **settings: Any,
) -> Fitted:
    """Fit priors and network to the mean forces of mapped frames.

    Args:
        data: frames of one data set, or of several data sets that are fitted together.
        model: name of a network (nequip, allegro, mace, schnet, pair), or what `network` returned.
        prior: terms of the prior, by name or as objects such as `option("prior", "pairs", cutoff_nm=0.8)`. Each term is
            fitted to the forces minus those of the terms before it. The Coulomb term is used only if beads are charged.
        trainer: name of a trainer, or what `option("trainer", ...)` returned.
        draws: another data set, with second draws, which tell how much of the variance of the forces is noise.
        folder: folder for checkpoints, from which the same call continues; None keeps no checkpoints.
        platform: name of the OpenMM platform that computes the forces of the priors.
        **settings: settings of the trainer: max_epochs, batch_size, learning_rate, held_out_fraction, seed, ...

    Raises:
        ValueError: the tests of the data disagree, a setting is wrong, or the fit diverged.

    >>> fitted = fit(data, model=network("nequip", l_max=1), max_epochs=2)       # doctest: +SKIP
    """
    _be_heard()
    sets = [data] if isinstance(data, Frames) else list(data)
    chosen = network(model) if isinstance(model, str) else model
    named = prior if isinstance(prior, list | tuple) else [prior]
    terms: tuple[Any, ...] = tuple(option("prior", term) if isinstance(term, str) else term for term in named)
    for one in sets:
        _wanted("data", one, Frames, "frames, or a list of them")
    _wanted("model", chosen, Architecture, 'a name, or what cgnnp.network("nequip", ...) returns')
    for term in terms:
        _wanted("prior", term, PriorTerm, 'names, or what cgnnp.option("prior", "pairs", ...) returns, alone or in a list')
    how = option("trainer", trainer, **settings) if isinstance(trainer, str) else trainer
    _wanted("trainer", how, Trainer, 'a name, or what cgnnp.option("trainer", "force_matching", ...) returns')
    if settings and how is trainer:
        given = ", ".join(settings)
        made = "cgnnp.option('trainer', 'force_matching', max_epochs=2)"
        raise TypeError(f"{given}: the trainer exists already: give its settings where it is made: {made}")
    how.check_machine()
    plan = FitPlan(prior=terms, network=chosen, trainer=how, platform=platform)
    checked = check_sets(sets)
    checked.refuse_unsound()
    with tempfile.TemporaryDirectory(prefix="cgnnp_fit_") as temporary:
        fitted = fit_model(sets, plan, Path(folder or temporary), draws)
    return fitted.with_checks(checked.figures([name_of(frames) for frames in sets], sets))


def network(name: str = "nequip", **settings: Any) -> Architecture:
    """Return the network of this name (nequip, allegro, mace, schnet, pair); `settings` replace default values.

    Raises:
        ValueError: there is no such network, or it has no such setting.

    >>> network("nequip", l_max=1).settings["l_max"]
    1
    """
    return architecture({**option_values("model", name), **settings})


def export(fitted: Fitted, directory: str | Path = "potential") -> PotentialBundle:
    """Write a fitted model as a bundle, load it again and run its self-check. A bundle that is already there is replaced.

    Raises:
        ValueError: weights of the network are not finite.
    """
    _be_heard()
    _wanted("fitted", fitted, Fitted, "what cgnnp.fit returns")
    save_bundle(Path(directory), fitted.model, fitted.priors, fitted.sets, fitted.made_from())
    log.info("export: %s", directory)
    return load(directory)


def run_dynamics(
    potential: PotentialBundle | str | Path,
    directory: str | Path | None = None,
    *,
    starts: Frames | None = None,
    n_molecules: int | None = None,
    box_nm: float | None = None,
    concentration_M: float | None = None,
    **settings: Any,
) -> CoarseRun:
    """Simulate a potential, or continue the simulation in the directory.

    Args:
        potential: a potential that `export` or `load` returned, or its folder.
        directory: folder for the replicas; None takes one beside the potential: simulation, or named after the composition.
        starts: frames from which the replicas start; None takes the bead positions that are stored in the potential.
        n_molecules: number of molecules of each kind; in a salt, the number of cations, and of anions.
        box_nm: edge of a cubic box. Without any of these three, the system that is stored in the potential is simulated.
        concentration_M: concentration of each kind of molecule in mol/L, together with at most one of the other two.
        **settings: settings of the dynamics: length_ps, timestep_fs, replicas, temperature_K, seed, ...

    Raises:
        ValueError: a setting is wrong, or the directory has frames of another potential or protocol.
        SimulationFailed: a replica blew up; the other replicas were finished before.

    >>> run = run_dynamics("potential", length_ps=240.0)       # doctest: +SKIP
    """
    _be_heard()
    bundle = potential if isinstance(potential, PotentialBundle) else load(potential, self_check=False)
    if bundle.directory is None:
        raise ValueError("potential: it exists only in memory, but a simulation reads its files: export it first")
    composition = Composition(n_molecules=n_molecules, box_nm=box_nm, concentration_M=concentration_M)
    values = {**option_values("simulation", "langevin"), **settings}
    plan = constructed(values, "simulation", OF_THE_POTENTIAL)(bundle.temperature)
    place = Path(directory or folder_beside(bundle.directory, composition, plan))
    coarse = run_potential(bundle.directory, place, plan, starts, composition)
    remember(coarse, place)
    return coarse


def compare_frames(
    data: Frames,
    run: CoarseRun | Frames,
    potential: PotentialBundle | str | Path | None = None,
    observables: Sequence[str | Observable] | None = None,
    **settings: dict[str, Any],
) -> Comparison:
    """Compare a coarse-grained run with data of the same beads: g(r), angles, order, dimers, and more for ions.

    Args:
        data: mapped atomistic frames; numbers of beads, box and temperature may differ from those of the run.
        run: the run that `run_dynamics` returned, or coarse-grained frames.
        potential: the potential of the run; it must be given if `run` is frames.
        observables: observables to compare, by name or as objects of your own; by default all that apply to the beads.
        **settings: settings of observables, by the name of the observable: rdf={"r_max_nm": 0.8}.

    Raises:
        ValueError: `run` is frames and `potential` is missing, the beads differ, or a setting is wrong.

    >>> found = compare_frames(data, run, angles={"shell_nm": 0.35})       # doctest: +SKIP
    """
    _be_heard()
    _wanted("data", data, Frames, "mapped atomistic frames")
    _wanted("run", run, CoarseRun | Frames, "what cgnnp.run_dynamics(potential) returns, or frames")
    if potential is None and not isinstance(run, CoarseRun):
        raise ValueError(
            "potential: it is missing, and frames alone do not tell which potential they were simulated with: call "
            "compare_frames(data, frames, potential)"
        )
    place = run.potential if isinstance(run, CoarseRun) and potential is None else potential
    bundle = place if isinstance(place, PotentialBundle) else load(str(place), self_check=False)
    check_same_beads(data, bundle)
    named = None if observables is None else [one if isinstance(one, str) else one.name for one in observables]
    chosen = choice({"observables": named, **settings}, [one for one in observables or () if not isinstance(one, str)])
    if isinstance(run, CoarseRun):
        both = BothSides(data, run.frames, bundle, run.consistency, run.kinetic)
        return compare_sides(both, chosen, (speed_of(data), run.figures.cg_ns_per_day))
    return compare_sides(BothSides(data, run, bundle), chosen)


def check_potential(
    potential: PotentialBundle | str | Path, quick: bool = False, *, output: str | Path | None = None, **settings: Any
) -> PotentialCheck:
    """Test an exported potential: self-check, dimer walls, NVE drift, largest time step, stress runs, speed.

    Args:
        potential: a potential that `export` or `load` returned, or its folder.
        quick: whether to make shorter runs, which take two minutes for 216 beads of water.
        output: folder for check.json and check.html, from which the same call continues; None writes nothing.
        **settings: tests (a list of names), timestep_fs, steps_fs, drift_ps, length_ps, seed, platform: see conf/check.yaml.

    Raises:
        FileNotFoundError: the folder has no potential.
        ValueError: the potential is damaged, or a setting is wrong.

    >>> found = check_potential("runs/water/potential", quick=True)       # doctest: +SKIP
    >>> print(found.table())       # doctest: +SKIP
    """
    _be_heard()
    _wanted("potential", potential, PotentialBundle | str | Path, "what cgnnp.load returns, or a folder")
    folder = None if output is None else Path(output)
    found = check(potential, folder, quick=quick, **settings)
    if folder is not None:
        write_potential_check(found, folder)
    return found


def write_report(
    path: str | Path,
    data: Frames,
    fitted: Fitted | None = None,
    run: CoarseRun | None = None,
    found: Comparison | None = None,
) -> Path:
    """Write a report as one self-contained page and return its path. Parts that are None are left out.

    Args:
        path: path of the page.
        data: mapped atomistic frames.
        fitted: the fit that `fit` returned.
        run: the run that `run_dynamics` returned.
        found: the comparison that `compare_frames` returned.
    """
    _wanted("data", data, Frames, "mapped atomistic frames")
    for name, value, kind in (("fitted", fitted, Fitted), ("run", run, CoarseRun), ("found", found, Comparison)):
        _wanted(name, value, kind | None, f"a {kind.__name__}, or None")
    page = Path(path)
    page.parent.mkdir(parents=True, exist_ok=True)
    figures: list[Any] = [
        DataFigures(system=name_of(data), mapping=data.mapping.name, temperature_K=data.temperature, n_frames=len(data))
    ]
    eps_r = None if fitted is None else dielectric_constant(fitted.priors)
    figures += [] if fitted is None else [fitted.checks, fitted.figures, ExportFigures(eps_r=eps_r)]
    figures += [] if run is None else [ExportFigures(potential=run.potential.name, eps_r=eps_r), run.figures]
    figures += [] if found is None else [found.figures]
    return write_page(
        page.parent,
        Summary.of(*figures),
        name=page.name,
        metrics=() if fitted is None else fitted.history,
        priors=None if fitted is None else fitted.priors,
        errors=None if fitted is None else fitted.errors,
        sections=() if found is None else found.sections(),
    )


def plot(value: Fitted | Comparison, file: str | Path | None = None, observable: str = "rdf") -> list[Axes]:
    """Draw the history of a fit, or an observable of a comparison. In a notebook, the figure is then shown.

    Args:
        value: the fit or the comparison.
        file: file to which the figure is saved as well; the suffix determines its format.
        observable: name of the observable of a comparison to draw: rdf, angles, ...

    Returns:
        The axes of the figure.

    Raises:
        ValueError: there is nothing to draw.
    """
    _wanted("value", value, Fitted | Comparison, "a fit or a comparison")
    if isinstance(value, Fitted):
        figure = plot_history(value.history) if value.history else None
    else:
        figure = next((picture.draw(LIGHT) for picture in value[observable].section().pictures), None)
    if figure is None:
        what = "this fit has no history" if isinstance(value, Fitted) else f"observable={observable!r} has no picture"
        raise ValueError(f"{what}: there is nothing to draw")
    if file is not None:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file)
    if "ipykernel" in sys.modules:
        from matplotlib import pyplot

        pyplot.figure(FigureClass=lambda *_, **__: figure)  # type: ignore[arg-type]
    return figure.axes


def _provided(source: Source, mapping: AnyMapping, data_dir: str | Path, platform: str) -> Frames:
    """Return the mapped frames of a source; first sample or map those that are not in the data cache."""
    if not isinstance(mapping, Mapping):
        make = option("mapping", mapping) if isinstance(mapping, str) else mapping
        mapping = make(source.atomistic())
    directory = source.complete(mapping, Path(data_dir), choose_platform(platform))
    log.info("data: %s", directory)
    return source.frames(directory, mapping, source.n_frames)


def _wanted(name: str, value: Any, kind: Any, words: str) -> None:
    """Check that an argument has the type `kind`.

    Raises:
        TypeError: the argument has another type; the message says with `words` what it must be.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name}: is a {type(value).__name__}, but must be {words}")


def _be_heard() -> None:
    """Print log lines to the standard output, unless the user has set up logging."""
    if not log.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
