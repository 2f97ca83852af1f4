"""`python -m cgnnp.check`: is a data set of mapped frames sound?

Exit code 0 when all agrees, 1 when something does not, 3 when something could not be tested.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cgnnp.runtime.settings import unknown_setting
from cgnnp.runtime.signals import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig

KEYS = ("data", "output")


def job(config: "DictConfig") -> None:
    """Test the data set, print a table, write check.json and check.html."""
    data, output = _settings(config)
    from cgnnp.diagnostics.soundness import AGREES, DISAGREES, NOT_TESTED
    from cgnnp.workflow.data_check import check_data, write_check
    from cgnnp.workflow.run_folder import check_writable

    output = output or Path("check") / data.resolve().name
    if output.resolve().is_relative_to(data.resolve()):
        raise ValueError(f"output={output}: is in the data set, which stays as it is: choose another folder")
    check_writable(output, "output")
    found = check_data(data)
    print(found.table())
    print(write_check(found, output))
    sys.exit({AGREES: 0, DISAGREES: 1, NOT_TESTED: 3}[found.verdict])


def _settings(config: "DictConfig") -> tuple[Path, Path | None]:
    from omegaconf import OmegaConf

    values = {str(key): value for key, value in OmegaConf.to_object(config).items()}  # type: ignore[union-attr]
    for key, value in values.items():
        if key not in KEYS:
            raise ValueError(unknown_setting(key, KEYS))
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise ValueError(f"{key}={value!r}: must be the name of a folder")
    if values["data"] in (None, ""):
        raise ValueError("name the folder of a data set: data=data/...")
    return Path(str(values["data"])), None if values["output"] is None else Path(str(values["output"]))


def main() -> None:
    """Console script."""
    with stoppable():  # from the imports on
        from cgnnp.commands import hydra_job

        hydra_job.run("check", job)


if __name__ == "__main__":
    main()
