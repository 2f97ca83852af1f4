"""Every model configuration that must pass the conformance suite; a new architecture is one more line."""

from functools import partial

from cgnnp.models.nequip import NequIP

# (name, factory); the tests add type_names (two types), cutoff_nm, inner_cutoff_nm and seed.
MODELS = [
    ("nequip-l0", partial(NequIP, layers=2, l_max=0, features=8)),
    ("nequip-l1-one-layer", partial(NequIP, layers=1, l_max=1, features=8)),
    ("nequip-l1", partial(NequIP, layers=2, l_max=1, features=8)),
    ("nequip-l1-odd", partial(NequIP, layers=3, l_max=1, features=8, odd_paths=True)),
    ("nequip-l1-odd-two-layers", partial(NequIP, layers=2, l_max=1, features=8, odd_paths=True)),
    ("nequip-l1-bounded", partial(NequIP, layers=2, l_max=1, features=8, energy_bound_kJ_mol=5.0)),
    ("nequip-l2", partial(NequIP, layers=3, l_max=2, features=4)),
    ("nequip-l2-odd", partial(NequIP, layers=3, l_max=2, features=4, odd_paths=True)),
]
