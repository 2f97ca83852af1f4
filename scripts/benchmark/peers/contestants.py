"""Who is measured, in which environment, and how each comes into it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TORCH = "torch==2.13.*"
TORCH_213 = "cgnnp-torch2.13"
PACKAGES = {
    "nequip": ("nequip", "openmm>=8.6.1", "openmmml"),
    "allegro": ("nequip-allegro",),
    "mace": ("mace-torch",),
    TORCH_213: ("e3nn", "jaxtyping", "numpy", "openmm"),
}
"""What pip installs into each environment, beside torch; cgnnp itself is taken from this checkout."""


@dataclass(frozen=True)
class Contestant:
    """A network in one mode of one package. Its layers are chosen such that messages pass `layers` times where they do."""

    label: str
    environment: str
    script: str
    model: str
    mode: str
    tasks: tuple[str, ...]
    l_max: int = 1
    layers: int = 3

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.environment}_{self.model}_l{self.l_max}_{self.layers}_{self.mode}"

    @property
    def is_ours(self) -> bool:
        """Whether it is of this project."""
        return self.model == "cgnnp"


BOTH = ("forces", "train")
OURS, NEQUIP, MACE = "run_ours.py", "run_nequip.py", "run_mace.py"
CONTESTANTS = [
    Contestant("cgnnp NequIP l=1, compiled", "cgnnp", OURS, "cgnnp", "compiled", BOTH),
    Contestant("cgnnp NequIP l=1", "cgnnp", OURS, "cgnnp", "eager", BOTH),
    Contestant("cgnnp NequIP l=1, compiled, torch 2.13", TORCH_213, OURS, "cgnnp", "compiled", BOTH),
    Contestant("cgnnp NequIP l=1, torch 2.13", TORCH_213, OURS, "cgnnp", "eager", BOTH),
    Contestant("NequIP l=1", "nequip", NEQUIP, "nequip", "eager", BOTH),
    Contestant("NequIP l=1, compiled", "nequip", NEQUIP, "nequip", "compiled", BOTH),
    Contestant("cgnnp NequIP l=2, compiled", "cgnnp", OURS, "cgnnp", "compiled", BOTH, l_max=2),
    Contestant("cgnnp NequIP l=2", "cgnnp", OURS, "cgnnp", "eager", BOTH, l_max=2),
    Contestant("NequIP l=2", "nequip", NEQUIP, "nequip", "eager", BOTH, l_max=2),
    Contestant("NequIP l=2, compiled", "nequip", NEQUIP, "nequip", "compiled", BOTH, l_max=2),
    Contestant("Allegro l=1, 1 layer", "allegro", NEQUIP, "allegro", "eager", BOTH, layers=1),
    Contestant("Allegro l=1, 1 layer, compiled", "allegro", NEQUIP, "allegro", "compiled", BOTH, layers=1),
    Contestant("Allegro l=1, 2 layers", "allegro", NEQUIP, "allegro", "eager", BOTH, layers=2),
    Contestant("Allegro l=1, 2 layers, compiled", "allegro", NEQUIP, "allegro", "compiled", BOTH, layers=2),
    Contestant("MACE l=1", "mace", MACE, "mace", "eager", BOTH),
    Contestant("MACE l=1, compiled", "mace", MACE, "mace", "compiled", BOTH),
    Contestant("cgnnp NequIP l=1, TorchForce", "cgnnp", OURS, "cgnnp", "torch", ("md",)),
    Contestant("cgnnp NequIP l=1, PythonForce", "cgnnp", OURS, "cgnnp", "python", ("md",)),
    Contestant("cgnnp NequIP l=1, PythonForce, torch 2.13", TORCH_213, OURS, "cgnnp", "python", ("md",)),
    Contestant("NequIP l=1, openmm-ml", "nequip", NEQUIP, "nequip", "eager", ("md",)),
]


@dataclass(frozen=True)
class Installer:
    """Puts each contestant's packages into an environment of its own, once."""

    folder: Path
    torch_wheel: Path | None
    torch_index: str

    def python(self, environment: str) -> Path:
        """The interpreter of an environment, which is made when it is not there.

        Raises:
            RuntimeError: pip fails.
        """
        if environment == "cgnnp":
            return Path(sys.executable)
        home = self.folder / environment
        python, done = home / "bin" / "python", home / "installed"
        if not done.exists():
            print(f"installing {environment}: torch {TORCH[7:]}, {', '.join(PACKAGES[environment])}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", home], check=True)
            self._torch(python)
            pip(python, *PACKAGES[environment], TORCH)
            done.touch()
        return python

    def _torch(self, python: Path) -> None:
        """torch from the file, else from the index, else from where pip looks by itself."""
        if self.torch_wheel:
            return pip(python, str(self.torch_wheel))
        try:
            pip(python, TORCH, "--index-url", self.torch_index)
        except RuntimeError:
            pip(python, TORCH)


def pip(python: Path, *arguments: str) -> None:
    """Install quietly."""
    done = subprocess.run([python, "-m", "pip", "install", "-q", *arguments], capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
        raise RuntimeError(f"pip: {lines[-1] if lines else 'no message'}")
