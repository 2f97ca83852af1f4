"""Imports point one way only (CONTRIBUTING.md), and what is meant to be light stays light."""

import ast
import graphlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = ("__main__", "sample", "map", "train", "simulate", "compare", "check", "commands")
ORDER = (
    ("workflow",),
    ("report",),
    ("analysis",),
    ("simulation", "training", "reference"),
    ("dynamics", "priors", "evaluators"),
    ("models", "diagnostics"),
    ("frames", "mappings"),
    ("mapping",),
    ("statistics",),
    ("units",),
    ("runtime",),
)
"""Below the commands, a room may import what stands in a later row, and its own modules."""

LOOSE = 10
"""So many modules at most lie in no room, `python -m` names included."""

LINES = 400
"""So many lines at most has a module."""

WITH_WORK = ("cgnnp.commands.frames", "cgnnp.commands.training")
"""Modules of commands that are imported once the command line has been read."""

FORBIDDEN = {
    "models": {"openmm", "openmmtorch", "hydra", "lightning", "mdtraj"},
    "evaluators": {"openmm", "openmmtorch", "hydra", "lightning", "mdtraj"},
    **{room: {"torch", "openmm", "mdtraj"} for room in ("mapping", "frames", "diagnostics")},
    **{room: {"torch", "openmm"} for room in ("mappings", "statistics")},
    "units": {"numpy"},
    "runtime": {"torch", "openmm", "mdtraj", "hydra", "omegaconf"},
}
"""What the modules of rooms may not load, directly or through others."""


def sources() -> dict[str, Path]:
    """Dotted names and files of the package's modules; `mappings` and `conf` are installed inside it."""
    files = {f"cgnnp.{path.relative_to(ROOT / 'cgnnp').as_posix()}": path for path in (ROOT / "cgnnp").rglob("*.py")}
    files |= {f"cgnnp.{path.relative_to(ROOT).as_posix()}": path for path in (ROOT / "mappings").rglob("*.py")}
    return {name.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): path for name, path in files.items()}


SOURCES = sources()


def imported(path: Path, module: str, everything: bool) -> Iterator[str]:
    """Absolute dotted names that a file imports; `from cgnnp.x import y` gives `cgnnp.x.y` where that is a module.

    Without `everything` only what runs when the module is imported.
    """
    stack: list[ast.AST] = [ast.parse(path.read_text())]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not everything:
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not everything:
            continue
        stack.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            base = ".".join(filter(None, [package if node.level else "", node.module]))
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in SOURCES else base


def part(module: str) -> str:
    """The part of the package that a module is in: `cgnnp.models.nequip` is in `models`."""
    return [*module.split("."), ""][1]


def loaded(module: str) -> set[str]:
    """Everything that importing a module loads from the package and names from outside, parents included."""
    todo, seen, outside = [module], set(), set()
    while todo:
        name = todo.pop()
        if name in seen or name not in SOURCES:
            continue
        seen.add(name)
        names = list(imported(SOURCES[name], name, everything=False))
        outside |= {other.split(".")[0] for other in names if not other.startswith("cgnnp")}
        todo += [other for other in names if other.startswith("cgnnp")]
        todo += [name.rpartition(".")[0]]
    return outside


MODULES = sorted(name for name in SOURCES if name != "cgnnp")


def test_the_parser_sees_what_is_there():
    assert "cgnnp.mappings.water" in SOURCES
    assert "cgnnp.mapping.mapping" in set(imported(SOURCES["cgnnp.mapping.force_map"], "cgnnp.mapping.force_map", False))
    assert "openmm" in set(imported(SOURCES["cgnnp.runtime.platforms"], "cgnnp.runtime.platforms", True))
    assert "openmm" not in loaded("cgnnp.runtime.platforms")
    assert {"openmm", "scipy", "mdtraj"} <= loaded("cgnnp.dynamics.openmm_topology")


def below(room: str) -> set[str]:
    """What a room may import."""
    if room in COMMANDS:
        return {*COMMANDS, *itertools.chain(*ORDER)}
    (row,) = [number for number, rooms in enumerate(ORDER) if room in rooms]
    return {room, *itertools.chain(*ORDER[row + 1 :])}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way_only(module):
    inside = {name for name in imported(SOURCES[module], module, True) if name.split(".")[0] == "cgnnp"}
    upward = sorted(name for name in inside if part(name) not in below(part(module)))
    assert not upward, f"{module} imports {upward}, which stand beside or above it"


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; none where there is no circle."""
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other_in_a_circle():
    arrows = {name: {other for other in imported(path, name, True) if other in SOURCES} for name, path in SOURCES.items()}
    del arrows["cgnnp"]  # it hands out names of all rooms
    assert circle(arrows | {"cgnnp": set()}) == []
    assert circle({"a": {"b"}, "b": {"a"}})


def test_no_scripts_import_each_other_in_a_circle():
    files = list((ROOT / "scripts").rglob("*.py"))
    names = {path.stem: path for path in files}
    arrows = {name: {other for other in imported(file, name, True) if other in names} for name, file in names.items()}
    assert sum(map(len, arrows.values())) > 10
    assert circle(arrows) == []


def test_few_modules_are_loose_and_none_is_long():
    loose = [name for name in MODULES if name.count(".") == 1 and SOURCES[name].name != "__init__.py"]
    assert len(loose) + 1 <= LOOSE, loose
    files = [*SOURCES.values(), *(ROOT / "scripts").rglob("*.py")]
    lengths = {str(path): len(path.read_text().splitlines()) for path in files}
    assert not {path: length for path, length in lengths.items() if length > LINES}


@pytest.mark.parametrize("module", [name for name in MODULES if part(name) in FORBIDDEN])
def test_light_modules_load_nothing_heavy(module):
    heavy = loaded(module) & FORBIDDEN[part(module)]
    assert not heavy, f"importing {module} loads {sorted(heavy)}"


@pytest.mark.parametrize("module", MODULES)
def test_hydra_is_in_the_commands_only(module):
    direct = {name.split(".")[0] for name in imported(SOURCES[module], module, True)}
    found = sorted(direct & {"hydra", "omegaconf"})
    assert part(module) in COMMANDS or not found, f"{module} imports {found}"


@pytest.mark.parametrize("module", [name for name in MODULES if part(name) in COMMANDS and name not in WITH_WORK])
def test_commands_start_light(module):
    heavy = loaded(module) & {"torch", "openmm", "openmmtorch", "lightning", "mdtraj", "e3nn", "matplotlib"}
    assert not heavy, f"`python -m {module} --help` would load {sorted(heavy)}"


def test_sampling_and_mapping_load_nothing_of_networks():
    """torch and lightning take several seconds to load, longer than mapping a thousand frames."""
    heavy = {"torch", "openmmtorch", "lightning", "e3nn", "matplotlib"}
    assert not loaded("cgnnp.commands.frames") & heavy
    assert heavy - {"openmmtorch"} <= loaded("cgnnp.commands.training")


def modules_after(statement: str) -> set[str]:
    """Top-level names in sys.modules after a statement in a fresh interpreter, less those of a bare one."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in result.stdout.split()}


def test_importing_the_package_imports_nothing_heavy():
    third_party = {
        "torch",
        "openmm",
        "hydra",
        "omegaconf",
        "lightning",
        "mdtraj",
        "numpy",
        "scipy",
        "e3nn",
        "matplotlib",
    }
    names = modules_after("import cgnnp")
    assert "cgnnp" in names
    assert not names & third_party


def test_data_modules_run_without_torch_openmm_and_hydra():
    names = modules_after("import cgnnp.diagnostics.consistency, cgnnp.mapping.force_map")
    assert "numpy" in names
    assert not names & {"torch", "openmm", "hydra", "lightning", "mdtraj"}
