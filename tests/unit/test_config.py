"""Every option of every group composes, and what it names can be built."""

import inspect
import re
from collections.abc import Iterator
from collections.abc import Mapping as Table
from pathlib import Path

import pytest
from configuration import compose
from contributing import blocks_of
from omegaconf import DictConfig, OmegaConf
from systems import water

from cgnnp.analysis.observables.choice import Choice, choice
from cgnnp.check import OF_POTENTIALS
from cgnnp.commands.frames import GROUPS, KEYS, as_dict, configured
from cgnnp.commands.presets import expanded
from cgnnp.commands.training import _simulation
from cgnnp.commands.yaml_comments import comments_of, of_command, of_option
from cgnnp.dynamics.openmm_topology import describe
from cgnnp.mapping.mapping import Mapping
from cgnnp.models.potential import Potential
from cgnnp.models.registry import FROM_DATA
from cgnnp.priors import PriorTerm
from cgnnp.reference.source import Source
from cgnnp.reference.systems.system import ReferenceSystem
from cgnnp.runtime.options import LISTED, constructed, target
from cgnnp.training.relative_entropy import RefinementSettings
from cgnnp.training.trainer import Trainer

CONF = Path(__file__).parents[2] / "conf"
COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))
OPTIONS = [(path.parent.name, path.stem) for path in sorted(CONF.glob("*/*.yaml"))]


def test_all_commands_and_groups_are_there():
    assert COMMANDS == ["check", "compare", "map", "sample", "simulate", "train"]
    assert {group for group, _ in OPTIONS} == {*GROUPS, "preset"}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_compose_and_know_their_keys(command):
    config = compose(command)
    OmegaConf.to_container(config, resolve=True)
    assert set(config) <= {*GROUPS, *KEYS, *(OF_POTENTIALS if command == "check" else ())}


def with_a_name(atomistic, *, name="on_oxygen"):
    return name


def without_a_name(atomistic):
    return "own"


@pytest.mark.parametrize(
    ("function", "words", "name"),
    [
        (f"{__name__}.with_a_name", [], "on_oxygen"),
        (f"{__name__}.with_a_name", ["mapping.name=mine"], "mine"),
        (f"{__name__}.without_a_name", [], "own"),
        ("cgnnp.mapping.map_molecules.map_molecules", ["+mapping.beads=1"], "custom"),  # a name is required, without default
    ],
)
def test_a_custom_mapping_keeps_the_default_name_of_its_function(function, words, name):
    make = configured(compose("train", "mapping=custom", f"mapping._target_={function}", *words), "mapping")
    assert make.keywords["name"] == name if "name" in make.keywords else make(None) == name


@pytest.mark.parametrize(("group", "option"), [pair for pair in OPTIONS if pair[0] != "preset"])
def test_every_option_composes_and_builds(group, option):
    own = ["mapping._target_=cgnnp.mappings.water.center_of_mass"] if option == "custom" else []
    config = compose("train", f"{group}={option}", *own)
    if option == "files":
        with pytest.raises(ValueError, match=r"needs trajectory, topology, temperature_K: state"):
            configured(config, group)()
        return
    if option == "openmm_files":
        with pytest.raises(ValueError, match=r"needs system_xml .*: state both"):
            configured(config, group)
        return
    made = {
        "reference": lambda: configured(config, group)(system=water(27).reference, replica=1),
        "simulation": lambda: _simulation(as_dict(config.simulation), 300.0),
        "prior": lambda: constructed(as_dict(config.prior[option]), f"prior.{option}"),
        "compare": lambda: choice(as_dict(config.compare)),
    }.get(group, lambda: configured(config, group))()
    if group == "system":
        assert isinstance(made, ReferenceSystem)
        assert made.system.getNumParticles() == len(made.positions) == made.topology.getNumAtoms()
    if group == "reference":
        assert isinstance(made, Source)
        assert (made.replica, made.n_frames) == (1, config.reference.n_frames)
    if group == "model":
        model = made(type_names=["A", "B"])
        assert isinstance(model, Potential)
        assert model.type_names == ("A", "B")
    kinds = {"prior": PriorTerm, "trainer": Trainer, "refinement": RefinementSettings, "compare": Choice}
    assert isinstance(made, kinds.get(group, object))
    if group == "simulation":
        assert (made is None) == (option == "none")


def test_the_default_mapping_maps_the_default_system():
    reference = water(27).reference
    mapping = configured(compose("train"), "mapping")(describe(reference.topology, reference.system))
    assert isinstance(mapping, Mapping)
    assert mapping.n_beads == 27


GIVEN = {
    "mapping": {"atomistic"},
    "system": {"name"},
    "reference": {"system", "replica"},
    "simulation": {"temperature_of_data_K"},
    "model": set(FROM_DATA),
}
"""What is not chosen of the arguments of what a group constructs: it comes from elsewhere."""


def not_named(takes: set[str], named: set[str], comments: Table[str, str]) -> dict[str, set[str]]:
    """Arguments that a configuration leaves out, names in it that are no arguments, and names without a comment."""
    found = {
        "left out": takes - named,
        "no argument": named - takes,
        "no comment": {key for key in named if not comments[key]},
    }
    return {what: keys for what, keys in found.items() if keys}


def places(config: DictConfig, prefix: str) -> Iterator[tuple[str, DictConfig]]:
    """Where something is constructed in an option: the option itself, or several things under names of their own."""
    if "_target_" in config:
        yield prefix, config
    else:
        nested = {key: config.get(key) for key in config}
        yield from ((f"{prefix}.{key}", one) for key, one in nested.items() if "_target_" in (one or {}))


def settings_of(group: str, option: str) -> dict[str, tuple[set[str], set[str], dict[str, str]]]:
    """The arguments that can be chosen of what an option constructs, the names in its file, and what is said of them."""
    prefix = f"{group}.{option}" if group in LISTED else group
    config = OmegaConf.select(compose("train", f"{group}={option}"), prefix)
    said, found = of_option(group, option).keys, {}
    for place, values in places(config, prefix):
        kind = target(values, place)
        takes = set(inspect.signature(getattr(kind, "Settings", kind)).parameters) - GIVEN.get(group, set())
        named = {str(key) for key in values if not key.startswith("_")}
        found[place] = (takes, named, {key: said[f"{place}.{key}"] for key in named})
    return found


# `none` switches a stage off and has no settings, `custom` is a function that is not known here.
@pytest.mark.parametrize(
    ("group", "option"), [pair for pair in OPTIONS if pair[1] not in ("none", "custom") and pair[0] != "preset"]
)
def test_configurations_name_every_setting(group, option):
    """What a configuration leaves out takes its default silently: the YAML is the manual, so it must not."""
    found = settings_of(group, option)
    assert any(takes for takes, _, _ in found.values())
    assert {place: wrong for place, one in found.items() if (wrong := not_named(*one))} == {}


@pytest.mark.parametrize(
    ("group", "option", "place"),
    [
        ("model", "nequip", "model"),
        ("prior", "pairs", "prior.pairs"),
        ("reference", "files", "reference"),
        ("compare", "standard", "compare.rdf"),
    ],
)
def test_settings_that_are_not_named_are_found(group, option, place):
    takes, named, comments = settings_of(group, option)[place]
    one = min(takes)
    assert not_named(takes, named - {one}, comments) == {"left out": {one}}
    assert not_named(takes - {one}, named, comments) == {"no argument": {one}}
    assert not_named(takes, named, {**comments, one: ""}) == {"no comment": {one}}


def test_the_examples_of_contributing_do_so_too():
    for section in ("A new prior term", "A new network", "A new trainer"):
        found = comments_of(blocks_of(section)[1])
        assert found.summary
        assert all(comment for key, comment in found.keys.items() if not key.startswith("_"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_of_a_command_has_a_comment(command):
    said = of_command(command).keys
    leaves = {key for key in said if not any(other.startswith(f"{key}.") for other in said)}
    assert not {key for key in leaves if not said[key] and not re.match(r"hydra\b|defaults\.override|prior$", key)}


@pytest.mark.parametrize("mapping", sorted(path.stem for path in (CONF / "mapping").glob("*.yaml")))
def test_every_mapping_can_be_sampled(mapping):
    assert "mapping" in compose("sample", f"mapping={mapping}")


PRESETS = sorted(path.stem for path in (CONF / "preset").glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS)
def test_no_simulation_is_none_whatever_the_preset_sets(preset):
    """Presets choose settings of runs that suit them, and are composed after `simulation=none`."""
    for option in ("none", "langevin"):
        config = compose("train", f"preset={preset}", f"simulation={option}")
        found = _simulation(as_dict(config.simulation), 300.0)
        assert (found is None) == (option == "none")


def test_a_preset_chooses_options_and_the_command_line_has_the_last_word():
    """Composed before the mapping it would leave none, silently (hydra 1.3): it comes last in the defaults."""
    config = compose("train", "preset=nacl")
    assert config.mapping._target_ == "cgnnp.mappings.ions.keep"
    assert (config.system.n_pairs, config.model.layers, config.refinement.steps) == (64, 2, 2)
    config = compose("train", "preset=nacl", "model=mace", "refinement=none", "prior.cutoff_nm=1.1")
    assert config.model._target_ == "cgnnp.models.mace.MACE"
    assert (config.refinement.steps, config.prior.cutoff_nm, config.model.cutoff_nm) == (0, 1.1, 1.0)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_samples_what_it_would_train(preset):
    words, _ = expanded("sample", [f"preset={preset}"])
    sampled, trained = compose("sample", *words), compose("train", f"preset={preset}")
    assert all(sampled[group] == trained[group] for group in ("system", "reference", "mapping"))
