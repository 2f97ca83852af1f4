"""`python -m cgnnp`: describe the commands, or run the command that is named. Imports nothing slow."""

import importlib
import sys

from cgnnp.commands.layout import examples, table
from cgnnp.commands.yaml_comments import of_command
from cgnnp.runtime.settings import did_you_mean

COMMANDS = ("sample", "map", "train", "simulate", "compare", "check")


def overview() -> str:
    """Return the text of `python -m cgnnp --help`: one line for each command, and an example."""
    return f"""From an atomistic simulation to a coarse-grained one with the same free energy, in OpenMM.

{table([(f"python -m cgnnp.{name}", of_command(name).summary) for name in COMMANDS])}

For example, the whole way for water:
{examples(of_command("train").examples[:1])}

python -m cgnnp.train --help lists the settings of this command; every other command has --help too."""


def main() -> None:
    """Run the console script: `cgnnp train ...` is the same as `python -m cgnnp.train ...`."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(overview())
        return
    if name not in COMMANDS:
        known = f"{did_you_mean(name, COMMANDS)} Commands: {', '.join(COMMANDS)}"
        print(f"cgnnp: error: there is no command '{name}'.{known}", file=sys.stderr)
        sys.exit(2)
    sys.argv[1:] = rest
    importlib.import_module(f"cgnnp.{name}").main()
