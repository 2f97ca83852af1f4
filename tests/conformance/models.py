"""Every model configuration that must pass the conformance suite; a new architecture is one more line."""

from functools import partial

from cgnnp.models.allegro import Allegro
from cgnnp.models.nequip import NequIP
from cgnnp.models.pair import Pair
from cgnnp.models.schnet import SchNet

# (name, factory); the tests add type_names (two types), cutoff_nm, inner_cutoff_nm and seed.
MODELS = [
    ("pair", Pair),
    ("schnet", partial(SchNet, layers=2, features=8)),
    ("schnet-without-knots", partial(SchNet, layers=1, features=8, knots=0, energy_bound_kJ_mol=5.0)),
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
