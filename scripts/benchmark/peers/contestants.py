"""The contestants of the benchmark, and their Python environments. A new contestant is one more line in `CONTESTANTS`."""

import functools
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TORCH, TORCH_INDEX = "torch==2.13.*", "https://download.pytorch.org/whl/cpu"
"""The pip requirement for torch, and the index with its CPU builds, which pip prefers to the builds on PyPI."""


@dataclass(frozen=True)
class Environment:
    """A Python environment: the packages that pip installs beside torch, and the worker script that runs in it.

    Without packages it is the environment of the Python that runs this program.
    """

    name: str
    worker: str
    packages: tuple[str, ...] = ()


OURS = Environment("cgnnp", "run_ours.py")
OURS_NEW = Environment("cgnnp-torch2.13", "run_ours.py", ("e3nn", "jaxtyping", "numpy", "openmm", "pyyaml"))
NEQUIP = Environment("nequip", "run_nequip.py", ("nequip", "openmm>=8.6.1", "openmmml"))
ALLEGRO = Environment("allegro", "run_nequip.py", ("nequip-allegro",))
MACE = Environment("mace", "run_mace.py", ("mace-torch",))


@dataclass(frozen=True)
class Contestant:
    """One network in one mode of one package, whose speed is measured.

    Args:
        label: name in tables; networks of cgnnp have labels that begin with "cgnnp ".
        environment: environment that the worker runs in.
        model: name of the network, for the worker.
        mode: "eager" or "compiled"; for MD with cgnnp the back end of the force, "torch" or "python".
        tasks: tasks that are timed: "forces", "train" or "md".
        l_max: largest degree of features.
        layers: number of layers.
    """

    label: str
    environment: Environment
    model: str
    mode: str
    tasks: tuple[str, ...]
    l_max: int = 1
    layers: int = 3

    @property
    def name(self) -> str:
        """Name of the contestant in file names."""
        return f"{self.environment.name}_{self.model}_l{self.l_max}_{self.layers}_{self.mode}"

    @property
    def is_ours(self) -> bool:
        """Whether the network is one of cgnnp."""
        return self.environment.worker == OURS.worker


def modes(label: str, environment: Environment, model: str, l_max: int = 1, layers: int = 3) -> list[Contestant]:
    """Return two contestants of one network, eager and compiled, which are timed on forces and training."""
    tasks = ("forces", "train")
    both = (("eager", label), ("compiled", f"{label}, compiled"))
    return [Contestant(name, environment, model, mode, tasks, l_max, layers) for mode, name in both]


CONTESTANTS = [
    *modes("cgnnp NequIP l=1", OURS, "nequip"),
    *modes("cgnnp NequIP l=1, torch 2.13", OURS_NEW, "nequip"),
    *modes("NequIP l=1", NEQUIP, "nequip"),
    *modes("cgnnp NequIP l=2", OURS, "nequip", l_max=2),
    *modes("NequIP l=2", NEQUIP, "nequip", l_max=2),
    *modes("Allegro l=1, 1 layer", ALLEGRO, "allegro", layers=1),
    *modes("Allegro l=1, 2 layers", ALLEGRO, "allegro", layers=2),
    *modes("MACE l=1", MACE, "mace"),
    Contestant("cgnnp NequIP l=1, TorchForce", OURS, "nequip", "torch", ("md",)),
    Contestant("cgnnp NequIP l=1, PythonForce", OURS, "nequip", "python", ("md",)),
    Contestant("cgnnp NequIP l=1, PythonForce, torch 2.13", OURS_NEW, "nequip", "python", ("md",)),
    Contestant("NequIP l=1, openmm-ml", NEQUIP, "nequip", "eager", ("md",)),
]


@functools.cache
def python_of(environment: Environment, folder: Path, torch: str) -> Path | str:
    """Return the path of the Python of an environment, or, if pip fails, the reason as a string.

    Args:
        environment: the environment, which is installed if it does not exist yet.
        folder: folder that holds the installed environments.
        torch: pip requirement or file for torch.
    """
    if not environment.packages:
        return Path(sys.executable)
    home = folder / environment.name
    python, done = home / "bin" / "python", home / "installed"
    if not done.exists():
        print(f"installing {environment.name}: {torch}, {', '.join(environment.packages)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        for packages in ([torch, "--extra-index-url", TORCH_INDEX], [torch, *environment.packages]):
            pip = [str(python), "-m", "pip", "install", "-q", *packages]
            made = subprocess.run(pip, capture_output=True, text=True)
            if made.returncode:
                lines = [line for line in made.stderr.splitlines() if "ERROR" in line] or made.stderr.splitlines()
                return f"not installed: pip: {lines[-1] if lines else 'no message'}"
        done.touch()
    return python
