"""Every model configuration that must pass the conformance suite; a new architecture is one more line."""

import importlib.util
import sys
import tempfile
from functools import partial
from pathlib import Path

from contributing import blocks_of

from cgnnp.models.allegro import Allegro
from cgnnp.models.mace import MACE
from cgnnp.models.nequip import NequIP
from cgnnp.models.pair import Pair
from cgnnp.models.schnet import SchNet


def worked_example():
    """The network that CONTRIBUTING shows, as if it were a file of cgnnp.models."""
    code, _ = blocks_of("A new network")
    file = Path(tempfile.mkdtemp()) / "density.py"  # TorchScript reads the source
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("cgnnp.models.density", file)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Density


# (name, factory); the tests add type_names (two types), cutoff_nm, inner_cutoff_nm and seed.
MODELS = [
    ("pair", Pair),
    ("worked-example", partial(worked_example(), features=8)),
    ("schnet", partial(SchNet, layers=2, features=8)),
    ("schnet-without-knots", partial(SchNet, layers=1, features=8, knots=0, energy_bound_kJ_mol=5.0)),
    ("mace-l0", partial(MACE, layers=2, l_max=0, features_l_max=0, features=8)),
    ("mace-pairs", partial(MACE, layers=1, l_max=1, correlation=1, features=8)),
    ("mace-one-layer", partial(MACE, layers=1, features=4)),
    ("mace-l1-correlation-1", partial(MACE, l_max=1, correlation=1, features=8)),
    ("mace-l2-correlation-2", partial(MACE, l_max=2, correlation=2, features=8)),
    ("mace-l2", partial(MACE, features=4)),
    ("mace-l2-three-layers", partial(MACE, layers=3, features_l_max=2, correlation=2, features=4)),
    ("mace-without-knots", partial(MACE, layers=1, l_max=1, correlation=2, features=4, knots=0, energy_bound_kJ_mol=5.0)),
    ("allegro-l0", partial(Allegro, layers=1, l_max=0, features=4, scalars=8, hidden=8)),
    ("allegro-l1", partial(Allegro, layers=1, l_max=1, features=4, scalars=8, hidden=8)),
    ("allegro-l2-two-layers", partial(Allegro, layers=2, l_max=2, features=4, scalars=8, hidden=8)),
    ("allegro-l1-both", partial(Allegro, layers=3, l_max=1, features=4, scalars=8, hidden=8, parity="both")),
    ("allegro-l1-none", partial(Allegro, layers=2, l_max=1, features=4, scalars=8, hidden=8, parity="none")),
    ("allegro-without-knots", partial(Allegro, layers=2, l_max=1, features=4, scalars=9, hidden=8, knots=0)),
    ("nequip-l0", partial(NequIP, layers=2, l_max=0, features=8)),
    ("nequip-l1-one-layer", partial(NequIP, layers=1, l_max=1, features=8)),
    ("nequip-l1", partial(NequIP, layers=2, l_max=1, features=8)),
    ("nequip-l1-odd", partial(NequIP, layers=3, l_max=1, features=8, parity="none")),
    ("nequip-l1-odd-two-layers", partial(NequIP, layers=2, l_max=1, features=8, parity="none")),
    ("nequip-l1-bounded", partial(NequIP, layers=2, l_max=1, features=8, energy_bound_kJ_mol=5.0)),
    ("nequip-l2", partial(NequIP, layers=3, l_max=2, features=4)),
    ("nequip-l1-both", partial(NequIP, layers=4, l_max=1, features=4, parity="both")),
    ("nequip-features-by-layer", partial(NequIP, layers=3, l_max=1, features=[8, 4, 6])),
    ("nequip-l2-odd", partial(NequIP, layers=3, l_max=2, features=4, parity="none")),
]
