"""`python -m cgnnp.check`: test whether a data set of mapped frames or an exported potential is sound.

The exit code is 0 when all tests agree, 1 when a test disagrees, and 3 when a test could not be made.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgnnp.runtime.settings import unknown_setting
from cgnnp.runtime.signals import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig

FOLDERS = ("data", "potential", "output")
OF_POTENTIALS = ("quick", "tests", "timestep_fs", "steps_fs", "drift_ps", "length_ps", "seed", "platform")
KEYS = (*FOLDERS, *OF_POTENTIALS)


def job(config: "DictConfig") -> None:
    """Test the data set or the potential, print a table, and write check.json and check.html."""
    values = _settings(config)
    from cgnnp.diagnostics.soundness import AGREES, DISAGREES, NOT_TESTED

    verdict = _check_data(values) if values["data"] is not None else _check_potential(values)
    sys.exit({AGREES: 0, DISAGREES: 1, NOT_TESTED: 3}[verdict])


def _check_data(values: dict[str, Any]) -> str:
    from cgnnp.workflow.data_check import check_data, write_check
    from cgnnp.workflow.run_folder import check_writable

    data = Path(str(values["data"]))
    output = _output(values, "data", data, Path("check") / data.resolve().name)
    check_writable(output, "output")
    found = check_data(data)
    print(found.table())
    print(write_check(found, output))
    return found.verdict


def _check_potential(values: dict[str, Any]) -> str:
    from cgnnp.commands.hydra_job import command_line
    from cgnnp.simulation.shipped import beside, potential_folder
    from cgnnp.workflow.potential_check.check import check_potential
    from cgnnp.workflow.potential_check.page import write_potential_check
    from cgnnp.workflow.run_folder import check_writable, start_logging

    potential = potential_folder(str(values["potential"]))
    output = _output(values, "potential", potential, beside(potential, "check"))
    check_writable(output, "output")
    start_logging()
    found = check_potential(potential, folder=output, **{name: values[name] for name in OF_POTENTIALS})
    print(found.table())
    print(write_potential_check(found, output, command_line()))
    return found.verdict


def _output(values: dict[str, Any], key: str, tested: Path, default: Path) -> Path:
    """Return the folder for the result, which must not be inside the tested folder."""
    output = default if values["output"] is None else Path(str(values["output"]))
    if output.resolve().is_relative_to(tested.resolve()):
        what = "data set" if key == "data" else "potential"
        raise ValueError(f"output={output}: is inside the {what}, which must not be changed: choose another folder")
    return output


def _settings(config: "DictConfig") -> dict[str, Any]:
    from omegaconf import OmegaConf

    values = {str(key): value for key, value in OmegaConf.to_object(config).items()}  # type: ignore[union-attr]
    for key, value in values.items():
        if key not in KEYS:
            raise ValueError(unknown_setting(key, KEYS))
        if key in FOLDERS and (isinstance(value, bool) or not isinstance(value, str | int | None)):
            raise ValueError(f"{key}={value!r}: must be the name of a folder")
    given = [key for key in ("data", "potential") if values[key] not in (None, "")]
    if len(given) != 1:
        raise ValueError(
            "the check tests one thing at a time: set either data=data/... (a data set) or potential=runs/.../potential (a "
            "potential), not both"
        )
    others = [key for key in OF_POTENTIALS if values[key] not in (None, False)]
    if given == ["data"] and others:
        raise ValueError(
            f"{others[0]}={values[others[0]]}: applies only to the check of a potential, but data= names a data set: leave "
            "it out"
        )
    return values | {key: None for key in ("data", "potential") if key not in given}


def main() -> None:
    """Run the command."""
    with stoppable():  # signals are also handled during the imports below, which take seconds
        from cgnnp.commands import hydra_job

        hydra_job.run("check", job)


if __name__ == "__main__":
    main()
