"""Which networks, settings and numbers of frames `networks.py` fits."""

from network_fits import EFFICIENCY_VISITS, Job

SEEDS = (0, 1, 2)
SIZES = (1, 10, 100, 1000)
"""Frames of water in the fits that compare data efficiency."""

WATER = {
    "pair": ("model=pair",),
    "schnet": ("model=schnet",),
    "nequip l 0": ("model.l_max=0", "model.features=32"),
    "nequip l 1": ("model.l_max=1", "model.features=16"),
    "nequip l 2": ("model.l_max=2", "model.features=8"),
    "nequip l 2, 16 channels": ("model.l_max=2", "model.features=16"),
    "allegro, 1 layer": ("model=allegro", "model.layers=1"),
    "allegro, 2 layers": ("model=allegro", "model.layers=2"),
    "mace, correlation 2": ("model=mace", "model.correlation=2"),
    "mace, correlation 3": ("model=mace", "model.correlation=3"),
}
"""Networks for one-bead water, all with the cutoff of `conf/`, 0.5 nm (a pair potential reaches to 0.9 nm)."""

IONS = {
    "pair": ("model=pair", "model.cutoff_nm=1.2"),
    "schnet": ("model=schnet", "model.cutoff_nm=1.0"),
    "nequip l 0": ("model.l_max=0", "model.features=32"),
    "nequip l 1": ("model.l_max=1", "model.features=16"),
    "nequip l 2": ("model.l_max=2", "model.features=8"),
    "allegro, 1 layer": ("model=allegro", "model.layers=1", "model.cutoff_nm=1.0"),
    "mace, correlation 2": ("model=mace", "model.correlation=2", "model.cutoff_nm=1.0"),
}
"""Networks for the ions of sodium chloride, with the settings that `preset=nacl` chooses."""

WITH_SEEDS = ("schnet", "nequip l 2")
"""Fitted with several seeds, which shows what is luck."""

EFFICIENCY = {
    "l 2, splines": ("model.l_max=2",),
    "l 0, splines": ("model.l_max=0", "model.features=32"),
    "l 2, walls": ("model.l_max=2", "prior.pairs.walls_only=true"),
    "l 0, walls": ("model.l_max=0", "model.features=32", "prior.pairs.walls_only=true"),
}
SIMULATED_SIZES = (1, 100)
BOUNDED = {
    f"{name}, bounded": (*EFFICIENCY[name], "model.energy_bound_kJ_mol=12.5") for name in ("l 0, splines", "l 2, walls")
}
"""The same with 5 kT for a bead at most, of 100 frames: without a bound these draw their beads together."""

NEQUIP = Job(
    "water",
    "as nequip",
    ("model.l_max=1", "model.layers=3", "model.features=32", "model.cutoff_nm=0.6", "trainer.patience=9"),
    n_frames=200,
)
NEQUIP_SETTINGS = {
    **{"l_max": 1, "num_layers": 3, "num_features": 32, "parity": False, "type_embed_num_features": 32},
    **{"radial_mlp_depth": 1, "radial_mlp_width": 32},
}
"""The network of scripts/benchmark/packages.py, in ours and in the `nequip` package."""


def network_jobs(quick: bool) -> list[Job]:
    """One fit of every network, and more of some."""
    jobs = []
    for system, networks in (("water", WATER), ("ions", IONS)):
        for name, settings in networks.items():
            seeds = SEEDS if name in WITH_SEEDS and not quick else SEEDS[:1]
            jobs += [
                Job(system, f"{name}, seed {seed}", (*settings, f"seed={seed}", *short(quick, system))) for seed in seeds
            ]
    return jobs


def efficiency_jobs(quick: bool) -> list[Job]:
    """Fits to few frames of water, with and without equivariance and splines."""
    fits = [(*fit, size) for fit in EFFICIENCY.items() for size in (SIZES[1:3] if quick else SIZES)]
    fits += [] if quick else [(*fit, SIMULATED_SIZES[-1]) for fit in BOUNDED.items()]
    return [
        Job("water", f"{name}, {size} frames", (*settings, *epochs_of(size), *short(quick)), n_frames=size)
        for name, settings, size in fits
    ]


def epochs_of(size: int) -> tuple[str, ...]:
    """As many steps for few frames as for a thousand."""
    n_epochs = 6000 // max(size, EFFICIENCY_VISITS)
    return (f"trainer.max_epochs={n_epochs}", f"trainer.patience={max(3, n_epochs // 6)}")


def short(quick: bool, system: str = "water") -> tuple[str, ...]:
    """Settings of a fit that only shows that it works; the box of its salt is small."""
    few = ("trainer.max_epochs=1", "prior.pairs.max_frames=50", *(("prior.cutoff_nm=1.0",) if system == "ions" else ()))
    return few if quick else ()
