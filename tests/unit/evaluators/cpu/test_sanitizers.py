"""The generated C++ under the sanitizers of gcc and clang: `driver.cpp` calls it as Python does, from arrays as large."""

import hashlib
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from cgnnp.evaluators.cpu.compiler import FLAGS
from cgnnp.evaluators.cpu.engine import CompiledNetwork, Evaluation, Problem, team_size
from cgnnp.evaluators.cpu.generated import MovingNetwork
from cgnnp.evaluators.cpu.neighbors import find_neighbors
from cgnnp.evaluators.cpu.nequip_source import NequIPSource
from cgnnp.evaluators.cpu.pairs import MovingPairs
from cgnnp.models import potential
from cgnnp.models.nequip import NequIP
from cgnnp.models.potential import build_graph
from cgnnp.simulation.openmm.forces import in_plain_torch

pytestmark = pytest.mark.slow

EVALUATE, DIFFERENTIATE, TRANSPOSE, PAIR_FORCES, NEIGHBORS = range(5)
"""What the driver calls."""
WRITTEN = {
    *("values", "adjoints", "tangents", "adjoint_tangents", "edge_numbers", "edge_reals", "edge_tangents"),
    *("partial_forces", "energies", "forces", "partial_gradients", "gradient"),
}
"""Arrays of a problem that the code writes before it reads them: they are handed over full of what is no number."""
DRIVER = Path(__file__).with_name("driver.cpp")
COMPILERS = ("g++", "clang++")
SANITIZERS = ("address,undefined", "thread")
QUICK = {"g++": ["-fno-var-tracking"]}
"""Its variables are what gcc otherwise tracks for most of the time."""


@dataclass(frozen=True)
class Mutation:
    """Damage to a source, and the sanitizer that reports it."""

    file: str
    sound: str
    damaged: str
    sanitizers: str
    report: str


REDUCTION = "for (long k = 3 * part.first; k < 3 * part.last; k++)"
BARRIER = "forces_of_edges(p, g, part.first, part.last, forces);\n        crew.barrier();"
INTERVAL, OVERFLOW = "int64_t at = (int64_t)x;", "at += INT64_MAX; at -= INT64_MAX;"
MUTATIONS = (
    Mutation("network.cpp", REDUCTION, REDUCTION.replace("k < 3", "k <= 3"), SANITIZERS[0], "heap-buffer-overflow"),
    Mutation("pairs.cpp", INTERVAL, f"{INTERVAL} {OVERFLOW}", SANITIZERS[0], "signed integer overflow"),
    Mutation("network.cpp", BARRIER, BARRIER.replace("crew.barrier();", ""), SANITIZERS[1], "data race"),
)
BOX = np.array([[1.1, 0.0, 0.0], [0.2, 0.9, 0.0], [-0.3, 0.25, 1.0]])


class Calls:
    """Files of calls for the driver, and what their arrays must hold afterwards."""

    def __init__(self, folder):
        self.folder, self.files, self.expected = folder, [], []

    def add(self, what, arguments, expected):
        """Of one call: tensors, integers and floats, and {place of an argument: what it must be}."""
        path = self.folder / f"call{len(self.files)}"
        with path.open("wb") as file:
            file.write(np.array([what, len(arguments)], dtype=np.int64).tobytes())
            for argument in arguments:
                file.write(self._bytes_of(argument))
        self.files.append(path)
        self.expected.append((arguments, expected))

    @staticmethod
    def _bytes_of(argument):
        if isinstance(argument, torch.Tensor):
            content = argument.contiguous().numpy().tobytes()
            return np.int64(len(content)).tobytes() + content
        number = np.float64(argument) if isinstance(argument, float) else np.int64(argument)
        return np.int64(-1).tobytes() + number.tobytes()

    def check(self):
        """Every call left the numbers that were expected of it."""
        for path, (arguments, expected) in zip(self.files, self.expected, strict=True):
            content = path.with_name(f"{path.name}.out").read_bytes()
            at = 0
            for place, argument in enumerate(arguments):
                array = argument.numpy() if isinstance(argument, torch.Tensor) else np.array([argument])
                dtype, size = array.dtype, array.size
                if place in expected:
                    assert size > 0
                    found = np.frombuffer(content, dtype, size, at)
                    wanted = np.asarray(expected[place]).ravel()
                    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10 * np.abs(wanted).max())
                at += size * dtype.itemsize
            assert at == len(content)


def add_problem(calls, what, evaluation, expected):
    """A call of the network: the C++ structure as the evaluation filled it."""
    arguments, places = [], {}
    for place, (name, _) in enumerate(Problem._fields_):
        places[name] = place
        array = evaluation._arrays.get(name)
        if array is None:
            number = getattr(evaluation._problem, name)
            arguments.append(0 if number is None else number)
        elif name in WRITTEN:
            arguments.append(torch.full_like(array, float("nan") if array.is_floating_point() else -(2**31)))
        else:
            arguments.append(array)
    calls.add(what, arguments, {places[name]: value for name, value in expected.items()})


def network():
    inner = {"inner_cutoff_nm": [[0.3, 0.25], [0.25, 0.2]], "energy_bound_kJ_mol": 5.0}
    return NequIP(type_names=["A", "B"], cutoff_nm=0.5, features=8, l_max=1, layers=2, seed=1, **inner).double()


def sites(n_beads, seed):
    """Some of the sites of a distorted lattice of 27."""
    generator = np.random.default_rng(seed)
    lattice = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[generator.permutation(27)[:n_beads]]
    return (lattice / 3 + generator.uniform(0, 0.15, (n_beads, 3))) @ BOX


def add_moving_beads(calls, model, n_beads, box):
    """A simulation's call: positions, shifts and a skin."""
    types, positions = torch.arange(n_beads) % 2, sites(n_beads, seed=n_beads)
    moving = MovingNetwork(model, CompiledNetwork(model), types)
    moving(positions, box)
    energy, forces = in_plain_torch(model, torch.from_numpy(positions), torch.from_numpy(box), types)
    evaluation = moving._evaluation
    assert float(evaluation.energies.sum()) == pytest.approx(energy, rel=1e-10)
    np.testing.assert_allclose(evaluation.forces, forces, atol=1e-10)
    expected = {"energies": evaluation.energies.clone()}
    if np.abs(forces).max() > 0:
        expected["forces"] = forces
    add_problem(calls, EVALUATE, evaluation, expected)


def add_graph(calls, model, n_beads, threads):
    """A fit's call: vectors of edges, and the derivative of a loss (which `test_compiled_network.py` judges)."""
    form = CompiledNetwork(model)
    weights = form.weights(form.theta(model))
    positions, types = torch.from_numpy(sites(n_beads, seed=1)), torch.arange(n_beads) % 2
    graph = build_graph(positions, torch.from_numpy(BOX), types, model.cutoff, torch.float64)
    evaluation = Evaluation(form, types, weights, threads)
    evaluation.set_vectors(graph.receivers, graph.senders, graph.vectors)
    evaluation.run()
    gradient = evaluation.differentiate(torch.randn(n_beads, 3, dtype=torch.float64), torch.full((n_beads,), 2.0))
    energies, forces = potential.energies_and_forces(model, graph)
    assert float(evaluation.energies.sum()) == pytest.approx(float(energies.sum()), rel=1e-10)
    expected = {"energies": evaluation.energies.clone(), "forces": forces, "gradient": gradient.clone()}
    add_problem(calls, DIFFERENTIATE, evaluation, expected)
    calls.add(TRANSPOSE, [weights.theta, weights.theta.clone()], {1: weights.transposed})


def add_pairs(calls, bound):
    """Tables of pairs, one of which has none."""
    n_beads, points = 20, np.linspace(0, 1, 41)
    energies = np.stack([depth * np.cos(3 * points) * (1 - points) ** 3 for depth in (5.0, -8.0)])
    types, table_of = np.arange(n_beads) % 3, np.array([[0, 1, -1], [1, 0, 1], [-1, 1, 0]])
    moving = MovingPairs(energies, 0.6, types, table_of, bound=bound)
    energy, forces = moving(sites(n_beads, seed=7), BOX)
    near, intervals = moving.neighbors, len(points) - 1
    arguments = [n_beads, near.receivers.size(0), near.receivers, near.senders, near.positions, near.shifts]
    arguments += [torch.from_numpy(types), len(table_of), torch.from_numpy(table_of), intervals, near.cutoff]
    arguments += [moving._coefficients, bound]
    results = [torch.full((n_beads, 3), float("nan"), dtype=torch.float64), float("nan")]
    calls.add(PAIR_FORCES, arguments + results, {13: forces, 14: energy})


def add_neighbors(calls, n_beads, cutoff, missing):
    """A list with exactly the room that it needs, or with less: then pairs are only counted."""
    positions, box = torch.from_numpy(np.random.default_rng(3).uniform(-1, 2, (n_beads, 3)) @ BOX), torch.from_numpy(BOX)
    receivers, senders, shifts = find_neighbors(positions, box, cutoff)
    room = len(receivers) - missing
    lists = [torch.full_like(array[:room], -(2**31)) for array in (receivers, senders, shifts)]
    expected = {5: receivers[:room], 6: senders[:room], 7: shifts[:room], 8: len(receivers)}
    calls.add(NEIGHBORS, [n_beads, positions, box, cutoff, room, *lists, 0], expected)


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Calls of all functions, in threads of their own, of networks with teams of one to three threads."""
    found, model = Calls(tmp_path_factory.mktemp("calls")), network()
    for n_beads, threads, box in ((14, 3, BOX), (14, 2, BOX), (2, 3, BOX), (2, 1, 9 * BOX)):
        with torch_threads(threads):
            add_moving_beads(found, model, n_beads, box)
    for n_beads, threads in ((9, 3), (14, 1)):
        add_graph(found, model, n_beads, threads)
    for bound in (0.0, 2.0):
        add_pairs(found, bound)
    for n_beads, cutoff, missing in ((30, 0.4, 0), (30, 0.4, 7), (3, 1.5, 0)):
        add_neighbors(found, n_beads, cutoff, missing)
    return found


@contextmanager
def torch_threads(number):
    before = team_size.set(number)
    try:
        yield
    finally:
        team_size.reset(before)


def sources():
    native = files("cgnnp.evaluators.cpu")
    texts = {name: native.joinpath(name).read_text() for name in ("pairs.cpp", "neighbors.cpp")}
    return {"network.cpp": NequIPSource(network()).text(), **texts}


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Where objects are kept for all tests."""
    return tmp_path_factory.mktemp("objects")


def build(objects, compiler, sanitizers, texts):
    """The driver with these sources, each compiled once. Flags are Python's, less optimised: with -O3 gcc takes minutes."""
    found = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1", "-pthread"]
    flags = [*(flag for flag in FLAGS if flag != "-O3"), "-O1", *found, *QUICK.get(compiler, ())]
    things = []
    for name, text in {"driver.cpp": DRIVER.read_text(), **texts}.items():
        digest = hashlib.sha256("\0".join([compiler, *flags, text]).encode()).hexdigest()[:16]
        code = objects / f"{digest}-{name}"
        things.append(code.with_suffix(".o"))
        if not things[-1].exists():
            code.write_text(text)
            subprocess.run([compiler, *flags, "-c", code, "-o", things[-1]], check=True)
    program = objects / hashlib.sha256(" ".join(map(str, things)).encode()).hexdigest()[:16]
    subprocess.run([compiler, *found, *things, "-o", program], check=True)
    return program


def run(program, files):
    """What the driver's exit status and messages are."""
    options = {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1", "TSAN_OPTIONS": "halt_on_error=1"}
    return subprocess.run([program, *files], env={**os.environ, **options}, capture_output=True, text=True, timeout=300)


@pytest.fixture(params=COMPILERS)
def compiler(request):
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.mark.parametrize("sanitizers", SANITIZERS)
def test_the_generated_code_is_sound(compiler, sanitizers, calls, objects):
    """No report, and the numbers that Python has."""
    ended = run(build(objects, compiler, sanitizers, sources()), calls.files)
    assert (ended.returncode, ended.stderr) == (0, "")
    calls.check()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.report)
def test_what_is_wrong_is_reported(compiler, mutation, calls, objects):
    """One place of the sources is damaged, which hardly ever changes a result."""
    texts = sources()
    assert texts[mutation.file].count(mutation.sound) == 1
    texts[mutation.file] = texts[mutation.file].replace(mutation.sound, mutation.damaged)
    ended = run(build(objects, compiler, mutation.sanitizers, texts), calls.files)
    assert ended.returncode != 0
    assert mutation.report in ended.stderr
