"""Replace presets, and names from earlier versions, on the command line. Imports nothing slow.

`preset=nacl` chooses options of several groups, and settings that suit them. `train` has the group `preset`, which hydra
composes. The other commands have only some of the groups, so `preset=nacl` on their command line is replaced by the options
that the preset chooses for these groups.
"""

from collections.abc import Sequence
from importlib.resources import files

import yaml

from cgnnp.runtime.options import file_of_option

FORMER = {"mapping=ions_nacl": "preset=nacl", "trainer=default": "trainer=force_matching"}
"""Former names of options, and their names now."""

SPLINES = ("knot_spacing_nm", "max_frames", "min_count", "smoothing", "ridge", "wall_kT", "walls_only")
FORMER_KEYS = {"prior.eps_r": "prior.coulomb.eps_r", **{f"prior.{name}": f"prior.pairs.{name}" for name in SPLINES}}
"""Former names of settings, from before the prior was a list of terms, and their names now."""

PRESET = "preset="


def expanded(command: str, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of a command line, with presets in the form that hydra takes, and remarks about changed words.

    >>> expanded("train", ["mapping=ions_nacl", "seed=1"])
    (['preset=nacl', 'seed=1'], ['mapping=ions_nacl is preset=nacl now'])
    >>> expanded("train", ["prior.eps_r=72"])
    (['prior.coulomb.eps_r=72'], ['prior.eps_r is prior.coulomb.eps_r now'])
    >>> expanded("sample", ["preset=nacl", "mapping=atoms"])[0]
    ['system=electrolyte', 'reference=langevin_dense', 'mapping=atoms']

    Raises:
        ValueError: a preset does not exist, or it chooses a system to sample and the command does not sample.
    """
    for word in words:
        if word.startswith("mapping=") and "," in word and "ions_nacl" in word:
            raise ValueError(f"{word}: ions_nacl is preset=nacl now and not a mapping: sweep over preset=none,nacl")
    said = [f"{word} is {FORMER[word]} now" for word in words if word in FORMER]
    words = [FORMER.get(word, word) for word in words]
    keys = [word.partition("=")[0] for word in words]
    said += [f"{key} is {FORMER_KEYS[key]} now" for key in keys if key in FORMER_KEYS]
    words = [FORMER_KEYS.get(key, key) + word.removeprefix(key) for key, word in zip(keys, words, strict=True)]
    if not any(word.startswith(PRESET) for word in words):
        return words, said
    groups = groups_of(command)
    if "preset" in groups:
        return words, said
    result: list[str] = []
    for word in words:
        result += _choices(command, groups, word, words) if word.startswith(PRESET) else [word]
    return result, said


def _choices(command: str, groups: Sequence[str], word: str, words: Sequence[str]) -> list[str]:
    """Return the options that a preset chooses for the groups of a command, without groups set on the command line."""
    if "mapping" not in groups:
        return [word]
    if "," in word:
        raise ValueError(f"{word}: {command} takes only one preset: sweep over the options that the presets choose")
    chosen = choices(word.removeprefix(PRESET))
    if "system" in chosen and "system" not in groups:
        raise ValueError(
            f"{word}: chooses a system to sample, but {command} does not sample: set mapping={chosen['mapping']} instead"
        )
    given = {other.partition("=")[0] for other in words}
    return [f"{group}={option}" for group, option in chosen.items() if group in groups and group not in given]


def choices(preset: str) -> dict[str, str]:
    """Return the options that a preset chooses, by group.

    >>> choices("nacl")["mapping"]
    'ions'

    Raises:
        ValueError: the preset does not exist.
    """
    defaults = file_of_option("preset", preset).get("defaults", [])
    return {key.removeprefix("override /"): option for entry in defaults for key, option in entry.items()}


def groups_of(command: str) -> list[str]:
    """Return the groups of a command, in the order in which they are composed.

    >>> groups_of("map")
    ['reference', 'mapping']
    """
    defaults = yaml.safe_load((files("cgnnp.conf") / f"{command}.yaml").read_text("utf-8"))["defaults"]
    return [key for entry in defaults if isinstance(entry, dict) for key in entry if key.isidentifier()]
