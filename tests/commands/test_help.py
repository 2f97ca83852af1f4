"""`--help` says all that the files in conf/ say of a command and nothing of others; `python -m cgnnp` lists the commands."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from configuration import compose
from omegaconf import OmegaConf

from cgnnp.commands.help import help_text
from cgnnp.commands.overview import COMMANDS
from cgnnp.commands.presets import choices
from cgnnp.commands.yaml_comments import of_command, of_option
from cgnnp.runtime.options import options_of
from commands import jobs

CONF = Path(__file__).parents[2] / "conf"
ALL_GROUPS = {path.name for path in CONF.iterdir() if path.is_dir() and path.name.isalpha()}
OPTIONS = [(path.parent.name, path.stem) for path in sorted(CONF.glob("*/*.yaml"))]
SECONDS = 10.0
"""At most so long takes a page: 0.5 s on a quiet machine, and torch alone takes longer than that to load."""


def page(command: str, *words: str) -> str:
    return help_text(command, ["--help", *words])


def said(text: str) -> str:
    """A page as one line, whatever was wrapped."""
    return " ".join(text.split())


def own_groups(command: str) -> set[str]:
    defaults = yaml.safe_load((CONF / f"{command}.yaml").read_text())["defaults"]
    return {key for entry in defaults if isinstance(entry, dict) for key in entry} & ALL_GROUPS


def rows(text: str) -> set[str]:
    """Names of the settings and groups that a page has rows for, and their values."""
    return set(re.findall(r"^  ([\w.]+=\S*)", text, re.MULTILINE))


def test_the_commands_are_those_of_conf():
    assert sorted(COMMANDS) == sorted(path.stem for path in CONF.glob("*.yaml"))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_the_groups_of_the_command_and_no_other(command):
    text = page(command)
    config = compose(command)
    for group in own_groups(command):
        assert all(option in said(text) for option in options_of(group))
    found = {row.split("=")[0] for row in rows(text)}
    nested = {key.split(".")[0] for key in found if "." in key}
    beside = {str(key) for key in config} - ALL_GROUPS
    assert found & ALL_GROUPS == own_groups(command)
    assert nested <= own_groups(command) | {str(key) for key in config if OmegaConf.is_dict(config[key])}
    assert beside <= found
    if "model" not in own_groups(command):
        assert "model=" not in text.replace("-m model=", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_every_setting_with_its_value_and_its_comment(command):
    text = said(page(command))
    config = compose(command)
    for key, comment in of_command(command).keys.items():
        if not key.startswith("hydra") and "override" not in key:
            assert said(comment) in text
    for group in own_groups(command) - {"prior", "preset"}:
        for key in config[group]:
            if not key.startswith("_"):
                assert f" {group}.{key}" in text
    unbroken = text.replace("\\ ", "")
    assert all(example.command in unbroken for example in of_command(command).examples)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal_and_says_how_to_sweep(command):
    text = page(command)
    assert max(map(len, text.splitlines())) <= 100
    assert len(text.splitlines()) <= 180
    assert "-m key=a,b" in text
    assert "Powered by Hydra" not in text


@pytest.mark.parametrize(("group", "option"), [pair for pair in OPTIONS if pair[0] != "preset"])
def test_help_of_an_option_has_all_its_settings_and_no_other(group, option):
    text = page("train", f"{group}={option}")
    assert max(map(len, text.splitlines())) <= 100
    assert all(of_option(group, other).summary in said(text) for other in options_of(group))
    for key, comment in of_option(group, option).keys.items():
        assert comment in said(text)
        assert re.search(rf"^  {key}(=|\.\*)", text, re.MULTILINE) or "._" in key
    assert {re.split("[.=]", row)[0] for row in rows(text)} <= {group}


def test_values_are_those_that_the_words_make():
    assert {"model.l_max=1", "model.layers=3"} <= rows(page("train", "model.l_max=1"))
    assert {"model.l_max=1", "model.layers=2", "model.cutoff_nm=1.0"} <= rows(page("train", "preset=nacl", "model"))
    text = page("train", "prior.cutoff_nm=0.7")
    assert "prior.pairs.cutoff_nm=0.7" in rows(text)
    assert "follows prior.cutoff_nm; cutoff, where the force and its slope vanish" in said(text)
    assert "mapping.selection='not water'" in page("map", "mapping=ions")
    assert "mapping._target_=???" in page("map", "mapping=custom")
    assert "must be set" in page("map", "mapping=custom")
    assert rows(page("train", "seed=3")) >= {"seed=3", "run_dir=null"}


def test_help_of_a_preset_says_what_it_chooses_and_sets():
    text = page("train", "preset=nacl")
    assert {f"{group}={name}" for group, name in choices("nacl").items()} <= rows(text)
    assert "prior.pairs.max_frames=100000 the forces on ions are mostly noise, so the fit needs many frames" in said(text)


def test_the_header_and_comments_of_a_file_come_out_as_they_stand():
    found = of_option("reference", "files")
    assert [example.command.split()[2] for example in found.examples] == ["cgnnp.train", "cgnnp.map"]
    assert found.examples[1].remark == "beads of a coarse-grained simulation, without a topology file"
    assert found.examples[1].command.endswith("reference.interval_ps=1 mapping=atoms")
    assert len(found.header) == 4
    assert "(spce 71, tip3p 97" in of_option("system", "electrolyte").keys["system.eps_r"]  # it goes on in a second line


@pytest.mark.parametrize(
    ("command", "words", "expected"),
    [
        ("sample", ["model"], "python -m cgnnp.sample has no group 'model'. Groups: system, reference, mapping"),
        ("train", ["mappings"], "has no group 'mappings'. Did you mean mapping?"),
        ("compare", ["mapping"], "python -m cgnnp.compare has no group 'mapping'."),
        ("compare", ["compare.rdf"], "--help compare.rdf: help is given for whole groups, not for one part of a group"),
        ("train", ["model.layers"], "use --help model, which describes all settings of model"),
        ("train", ["mapping=ion"], "there is no mapping 'ion'. Did you mean mapping=ions?"),
        ("train", ["sed=1"], "there is no setting 'sed'. Did you mean seed?"),
    ],
)
def test_words_that_help_does_not_know(command, words, expected, run_here, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run_here(command, "--help", *words, cwd=tmp_path)
    assert stop.value.code == 2
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def cgnnp(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-X", "importtime", "-m", "cgnnp", *words]
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, env=jobs.ENVIRONMENT, timeout=120)


def loaded(importtime: str) -> set[str]:
    """The packages that a process imported."""
    return {line.split("|")[-1].strip().split(".")[0] for line in importtime.splitlines() if "|" in line}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_process_prints_the_page_soon_and_leaves_nothing(command, tmp_path):
    start = time.monotonic()
    result = cgnnp(command, "--help", cwd=tmp_path)
    assert time.monotonic() - start < SECONDS
    assert result.returncode == 0
    assert result.stdout.strip() == page(command)
    assert "hydra" in loaded(result.stderr)
    assert not loaded(result.stderr) & {"torch", "openmm", "lightning", "mdtraj", "numpy"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_commands_are_listed(words, tmp_path):
    result = cgnnp(*words, cwd=tmp_path)
    assert result.returncode == 0
    for command in COMMANDS:
        assert f"python -m cgnnp.{command} {of_command(command).summary}" in said(result.stdout)
    assert of_command("train").examples[0].command in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert "yaml" in loaded(result.stderr)
    assert not loaded(result.stderr) & {"torch", "openmm", "numpy", "hydra"}


def test_a_command_that_there_is_not(tmp_path):
    result = cgnnp("trian", "mapping=ions", cwd=tmp_path)
    assert result.returncode == 2
    assert "cgnnp: error: there is no command 'trian'. Did you mean train? Commands: sample, map, train" in result.stderr
    assert result.stdout == ""


def test_a_named_command_is_run_with_its_words(tmp_path):
    result = cgnnp("train", "model=neqip", cwd=tmp_path)
    assert result.returncode == 2
    assert "train: error: there is no model 'neqip'. Did you mean model=nequip?" in result.stderr
