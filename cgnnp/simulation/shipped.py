"""Find the folder of a potential, which may be one that comes with cgnnp."""

from importlib.resources import files
from pathlib import Path

from cgnnp.runtime.settings import did_you_mean

PACKAGE = "cgnnp.potentials"


def shipped() -> list[str]:
    """Return the names of the potentials that come with cgnnp.

    >>> "water_spce_300K" in shipped()
    True
    """
    return sorted(entry.name for entry in files(PACKAGE).iterdir() if entry.joinpath("manifest.json").is_file())


def potential_folder(place: str | Path) -> Path:
    """Return the folder of a potential, given as a path or as the name of a potential that comes with cgnnp.

    An existing path takes precedence over a name.

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
    known = f"{hint} Potentials that come with cgnnp: {', '.join(names)}"
    raise FileNotFoundError(f"{place}: is not an exported potential, because there is no such folder.{known}")


def beside(folder: Path, name: str) -> Path:
    """Return the path for results that are made with a potential.

    Results go beside the folder of the potential. For a potential that comes with cgnnp they go into the working directory,
    with the name of the potential in front.
    """
    if folder.resolve().is_relative_to(Path(str(files(PACKAGE))).resolve()):
        return Path(f"{folder.name}_{name}")
    return folder.parent / name
