"""Potentials that come with cgnnp, by their names, and folders of others."""

from importlib.resources import files
from pathlib import Path

from cgnnp.runtime.settings import did_you_mean

PACKAGE = "cgnnp.potentials"


def shipped() -> list[str]:
    """The names of the potentials that come with cgnnp.

    >>> "water_spce_300K" in shipped()
    True
    """
    return sorted(entry.name for entry in files(PACKAGE).iterdir() if entry.joinpath("manifest.json").is_file())


def potential_folder(place: str | Path) -> Path:
    """The folder of a potential: as it is named, or of that name among those that come with cgnnp.

    >>> potential_folder("water_spce_300K").name
    'water_spce_300K'

    Raises:
        FileNotFoundError: there is no such folder, and no such potential comes with cgnnp.
    """
    path = Path(place)
    if path.exists():
        return path
    if str(place) in (names := shipped()):
        return Path(str(files(PACKAGE).joinpath(str(place))))
    hint = did_you_mean(str(place), names)
    known = f"{hint} Those that come with cgnnp: {', '.join(names)}"
    raise FileNotFoundError(f"{place}: is not an exported potential, there is no such folder.{known}")


def beside(folder: Path, name: str) -> Path:
    """Where something of this name goes that is made with a potential: beside it, or here if it came with cgnnp."""
    if folder.resolve().is_relative_to(Path(str(files(PACKAGE))).resolve()):
        return Path(f"{folder.name}_{name}")
    return folder.parent / name
