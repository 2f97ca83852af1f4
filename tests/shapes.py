"""Checks every signature and dataclass of cgnnp against its annotations, shapes included, while tests run."""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

from jaxtyping import install_import_hook

COMPILED_BY_TORCHSCRIPT = {
    *(f"cgnnp.models.{name}" for name in ("allegro", "clamps", "contraction", "convolution", "mace", "neighbors", "nequip")),
    *(f"cgnnp.models.{name}" for name in ("network", "pair", "potential", "radial", "schnet")),
    "cgnnp.simulation.openmm.torchscript",
}
"""Modules that are not checked: TorchScript cannot read the wrappers."""

# An int is a float, as for mypy (PEP 484).
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"


class Unchecked(MetaPathFinder):
    """Finds the modules that the import hook shall not see."""

    def find_spec(self, name, path=None, target=None):
        return PathFinder.find_spec(name, path, target) if name in COMPILED_BY_TORCHSCRIPT else None


def check_shapes() -> None:
    """Of all modules that are imported from here on."""
    install_import_hook("cgnnp", CHECKER)
    sys.meta_path.insert(0, Unchecked())
