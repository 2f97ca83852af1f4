"""What an attack is, and what can come of one."""

import enum
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


class Outcome(enum.StrEnum):
    """How the product answered."""

    REFUSED = "refused"  # with the right exit code and a message that names the file or the setting
    DISAGREES = "disagrees"  # `check` found it, exit code 1
    UNTESTED = "untested"  # `check` said that it cannot tell, exit code 3
    HARMLESS = "harmless"  # the result is the same to the last bit, or a valid value was taken
    ACCEPTED = "ACCEPTED WRONG"
    UNCLEAR = "UNCLEAR"  # refused, but the message names neither file nor setting, or the exit code is wrong
    TRACEBACK = "TRACEBACK"
    HANG = "HANG"


GOOD = frozenset({Outcome.REFUSED, Outcome.DISAGREES, Outcome.UNTESTED, Outcome.HARMLESS})


@dataclass(frozen=True)
class Judgement:
    """The outcome of an attack, and what was said or found."""

    outcome: Outcome
    said: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing wrong passed."""
        return self.outcome in GOOD


@dataclass(frozen=True)
class Attack:
    """Something that is wrong on purpose: what it is called, and how to try it in an empty folder.

    `long` ones are left to the script and to `pytest -m slow`.
    """

    category: str
    name: str
    act: Callable[[Path], Judgement]
    long: bool = False

    @property
    def key(self) -> str:
        """Its name among all."""
        return f"{self.category}: {self.name}"


class Kept:
    """Judgements in a file, one a line, so that what was tried is not tried again."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> dict[str, Judgement]:
        """By the key of the attack; half a line at the end, of a killed process, is left out."""
        found = {}
        for line in self.file.read_text().splitlines() if self.file.exists() else []:
            try:
                key, outcome, said = json.loads(line)
            except json.JSONDecodeError:
                continue
            found[key] = Judgement(Outcome(outcome), said)
        return found

    def add(self, attack: Attack, judgement: Judgement) -> None:
        """One more line; lines of several processes do not mix."""
        with self.file.open("a") as file:
            file.write(json.dumps([attack.key, judgement.outcome.value, judgement.said]) + "\n")


def chosen(attacks: Iterable[Attack], number: int) -> list[Attack]:
    """So many of them, spread evenly: always the same ones."""
    attacks = list(attacks)
    if number >= len(attacks):
        return attacks
    return [attacks[int(k * len(attacks) / number)] for k in range(number)]
