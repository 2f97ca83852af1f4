"""Every option of every group composes, and what it names can be built."""

from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import InstantiationException
from omegaconf import OmegaConf
from systems import water

from cgnnp.configured import _fit_settings, _simulation
from cgnnp.configured_frames import GROUPS, KEYS, checked_instantiate
from cgnnp.mapping import Mapping
from cgnnp.models.potential import Potential
from cgnnp.priors.refinement import RefinementSettings
from cgnnp.reference.source import Source
from cgnnp.reference.systems import ReferenceSystem
from cgnnp.reference.topology import describe
from cgnnp.workflow.run_folder import RunFolder
from cgnnp.workflow.stages import FROM_DATA

CONF = Path(__file__).parents[2] / "conf"
COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))
OPTIONS = [(path.parent.name, path.stem) for path in sorted(CONF.glob("*/*.yaml"))]


def compose(command: str, *overrides: str):
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("cgnnp.conf", version_base="1.3"):
        return hydra.compose(command, list(overrides))


def test_all_commands_and_groups_are_there():
    assert COMMANDS == ["check", "compare", "map", "sample", "simulate", "train"]
    assert {group for group, _ in OPTIONS} == set(GROUPS)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_compose_and_know_their_keys(command):
    config = compose(command)
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert set(config) <= {*GROUPS, *KEYS}


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_builds(group, option):
    own = ["mapping._target_=cgnnp.mappings.water.center_of_mass"] if option == "custom" else []
    config = compose("train", f"{group}={option}", *own)
    if option == "files":
        with pytest.raises(
            ValueError, match=r"needs reference\.trajectory, reference\.topology, reference\.temperature_K: state"
        ):
            checked_instantiate(config, group)()
        return
    if option == "openmm_files":
        with pytest.raises(InstantiationException, match=r"needs system\.system_xml .*: state both"):
            checked_instantiate(config, group)
        return
    made = {
        "reference": lambda: checked_instantiate(config, group)(system=water(27).reference, replica=1),
        "trainer": lambda: _fit_settings(config),
        "refinement": lambda: RefinementSettings(**config.refinement),
        "simulation": lambda: _simulation(OmegaConf.to_container(config.simulation, resolve=True), 300.0),
    }.get(group, lambda: checked_instantiate(config, group))()
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
    if group == "prior":
        assert callable(made)
    if group == "simulation":
        assert (made is None) == (option == "none")


def test_the_default_mapping_maps_the_default_system():
    reference = water(27).reference
    mapping = checked_instantiate(compose("train"), "mapping")(describe(reference.topology, reference.system))
    assert isinstance(mapping, Mapping)
    assert mapping.n_beads == 27


@pytest.mark.parametrize(("group", "option"), [pair for pair in OPTIONS if pair[1] not in ("none", "custom")])
def test_configurations_name_every_setting(group, option):
    """What a configuration leaves out takes its default silently: the YAML is the manual, so it must not."""
    import inspect

    from hydra.utils import get_object

    given = {"mapping": {"atomistic"}, "prior": {"frames"}, "system": {"name"}, "reference": {"system", "replica"}}
    given["model"] = set(FROM_DATA)
    config = compose("train", f"{group}={option}")[group]
    if "_target_" in config:
        missing = set(inspect.signature(get_object(config["_target_"])).parameters) - set(config) - given.get(group, set())
        assert not missing


@pytest.mark.parametrize("mapping", sorted(path.stem for path in (CONF / "mapping").glob("*.yaml")))
def test_every_mapping_can_be_sampled(mapping):
    assert "mapping" in compose("sample", f"mapping={mapping}")


@pytest.mark.parametrize("mapping", sorted(path.stem for path in (CONF / "mapping").glob("*.yaml")))
def test_no_simulation_is_none_whatever_the_mapping_sets(mapping):
    """Mappings choose settings of runs that suit them, and are composed after `simulation=none`."""
    for choice in ("none", "langevin"):
        config = compose("train", f"mapping={mapping}", f"simulation={choice}")
        found = _simulation(OmegaConf.to_container(config.simulation, resolve=True), 300.0)
        assert (found is None) == (choice == "none")


EARLIER = {
    "files": ["trajectory=run.trr", "topology=conf.gro", "rigid=water", "temperature_K=300"],
    "openmm_files": ["system_xml=system.xml", "topology=start.cif"],
}


@pytest.mark.parametrize(
    ("option", "group", "mapping"), [("files", "reference", "water_cg"), ("openmm_files", "system", "ions")]
)
def test_runs_of_earlier_versions_are_continued(option, group, mapping, tmp_path):
    """Settings that there were not yet are null; earlier_runs/ has what was stored before there was allow_code."""
    stored = (Path(__file__).parent / "earlier_runs" / f"{option}.yaml").read_text()
    assert "allow_code" not in stored
    (tmp_path / "config.yaml").write_text(stored)
    own = [f"{group}.{setting}" for setting in EARLIER[option]]
    command = [f"{group}={option}", *own, f"mapping={mapping}", "run_dir=run"]
    RunFolder(tmp_path).begin(OmegaConf.to_yaml(compose("train", *command), resolve=True))
    with pytest.raises(ValueError, match=rf"other settings \({group}\.allow_code is None there, True now\)"):
        RunFolder(tmp_path).begin(OmegaConf.to_yaml(compose("train", *command, f"{group}.allow_code=true"), resolve=True))
