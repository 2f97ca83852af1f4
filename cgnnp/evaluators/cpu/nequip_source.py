"""Generate the C++ code of a whole NequIP network: energies, forces, and their derivatives with respect to the weights.

All weights are in one array `theta`, whose layout is defined in `cgnnp.evaluators.cpu.layout`. Four work arrays have the
same layout: values, adjoints (derivatives of the energy with respect to values), and the tangents of both, that is, their
directional derivatives along a displacement u of the beads. A loss L of the forces F has dL/dtheta = sum_i dL/dF_i .
dF_i/dtheta = d/dtheta (D_u E) with u = -dL/dF and D_u E the directional derivative of the energy. So this gradient takes one
forward pass and one reverse pass of the tangents.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

import torch

from cgnnp.evaluators.cpu.couplings import AngularTable, ConvolutionCode, Path
from cgnnp.evaluators.cpu.harmonics import harmonic_polynomials
from cgnnp.evaluators.cpu.layout import Layout, Matrix
from cgnnp.models.convolution import n_components
from cgnnp.models.nequip import NequIP

VECTORS = (("#if defined(__AVX512F__)", 64), ("#elif defined(__AVX__)", 32), ("#else", 16))
"""Preprocessor conditions that recognise a kind of processor, each with the size of its SIMD vectors in bytes."""

REALS = {torch.float32: "float", torch.float64: "double"}
ARGUMENTS = "const Problem& p, const Edges& g, const Part& part, Team& crew, real* gradient"
SETS = {"V": "values", "A": "adjoints", "D": "tangents", "B": "adjoint_tangents"}


@dataclass(frozen=True)
class LinearMap:
    """One linear map of a layer, which multiplies an array of the beads with one block of a matrix.

    Args:
        kind: "before" or "after" the convolution, or "kept" for a self-connection.
        matrix: position of the matrix in theta.
        block: index of the block of the matrix.
        source: name of the array that is read.
        source_start: first component that is read.
        target: name of the array that is written.
        target_start: first component that is written.
        adds: whether the product is added to the target instead of replacing it.
    """

    kind: str
    matrix: Matrix
    block: int
    source: str
    source_start: int
    target: str
    target_start: int
    adds: bool

    @property
    def beads(self) -> str:
        """C++ expressions for the list and the number of beads on which the map acts.

        A block of a self-connection acts only on the beads of one type, all other maps on all beads.
        """
        return f"part.of({self.block}), part.count({self.block})" if self.kind == "kept" else "part.of(0), own"


class NequIPSource:
    """Generates the C++ code of a model from its structure. The code does not contain the weights."""

    def __init__(self, model: NequIP) -> None:
        self.layout = Layout(model)
        self.real = REALS[model.precision()]
        self.table = AngularTable(self.layout.l_max)
        self.convolutions: dict[tuple[Path, ...], ConvolutionCode] = {}
        for layer in self.layout.layers:
            key = tuple(layer.paths)
            if key not in self.convolutions:
                name = f"convolution{len(self.convolutions)}"
                self.convolutions[key] = ConvolutionCode(name, layer.paths, layer.l_in, self.table, self.layout.channels)

    def lanes(self, width: int) -> int:
        """Return the number of channels in one SIMD vector of `width` bytes, chosen to divide the number of all channels."""
        lanes = width // (4 if self.real == "float" else 8)
        while self.layout.channels % lanes:
            lanes //= 2
        return lanes

    def _lanes(self) -> str:
        """C++ that defines LANES, the number of channels in one SIMD vector, for the vector size of the processor."""
        choices = [f"{condition}\n#define LANES {self.lanes(width)}" for condition, width in VECTORS]
        return "\n".join([*choices, "#endif"])

    def text(self) -> str:
        """Return the complete source file."""
        layout, native = self.layout, files("cgnnp.evaluators.cpu")
        loops = [convolution.source() for convolution in self.convolutions.values()]
        constants = {
            "CHANNELS": layout.channels,
            "HARMONICS": n_components(layout.l_max) - 1,
            "ANGULAR": len(self.table.entries),
            "KNOTS": layout.knots,
            "TYPES": layout.n_types,
            "BEAD": layout.bead_size,
            "THETA": layout.theta_size,
        }
        parts = [
            f"#define REAL {self.real}\n{self._lanes()}",
            native.joinpath("support.h").read_text(),
            "\n".join(f"constexpr long {name} = {value};" for name, value in constants.items()),
            f"constexpr real BOUND = {layout.energy_bound!r};",
            self._harmonics(),
            native.joinpath("network.h").read_text(),
            *loops,
            self._program(),
            native.joinpath("entries.h").read_text(),
        ]
        return "\n".join(parts)

    def _harmonics(self) -> str:
        polynomials = harmonic_polynomials(self.layout.l_max)
        values = "\n    ".join(f"h[{k}] = {polynomial.code()};" for k, polynomial in enumerate(polynomials))
        slopes = "\n    ".join(
            f"d[{k}][{axis}] = {polynomial.slope(axis).code()};"
            for k, polynomial in enumerate(polynomials)
            for axis in range(3)
        )
        arguments = "real x, real y, real z"
        return f"""
static inline void harmonics({arguments}, real* h) {{
    {values}
}}
static inline void harmonic_slopes({arguments}, real (*d)[3]) {{
    {slopes}
}}
static inline void angular_table(const real* h, real* table) {{
    {self.table.statements("h", "table")}
}}
"""

    # The methods below generate the C++ code of four passes through the network: forward, reverse, tangent and reverse
    # tangent. Each thread runs every pass for its own beads.

    def _rows(self, which: str, name: str, first: int) -> str:
        """C++ `Rows` of the array `name`, from component `first` on.

        `which` selects the values (V), adjoints (A), tangents (D) or tangents of the adjoints (B).
        """
        kind, channels = name[0], self.layout.channels
        number = int(name[1:])
        sizes = self.layout.layers[number].sizes if number < len(self.layout.layers) else {"x": 1}
        return f"Rows{{{self._array(which, name)}, {sizes[kind] * channels}, {first * channels}, {channels}}}"

    def _array(self, which: str, name: str) -> str:
        return f"{which} + n * {self.layout.starts[name]}"

    def _last(self, which: str) -> str:
        """C++ pointer to the features of bead i after the last layer."""
        return f"{self._array(which, f'x{len(self.layout.layers)}')} + i * CHANNELS"

    def _read(self, which: str) -> str:
        """C++ expression for the readout of bead i."""
        return f"dot({self._last(which)}, theta + {self.layout.readout})"

    def _maps(self, k: int) -> Iterator["LinearMap"]:
        """Yield all linear maps of layer k, one for each block of each matrix."""
        layer = self.layout.layers[k]
        for matrix in layer.before:
            yield LinearMap("before", matrix, 0, f"x{k}", matrix.degree**2, f"m{k}", matrix.degree**2, False)
        for matrix in layer.after:
            for block, start in enumerate(layer.paths_into(matrix.degree)):
                yield LinearMap("after", matrix, block, f"s{k}", start, f"y{k}", layer.place_in_y(matrix), block > 0)
        for matrix in layer.self_connection:
            for block in range(matrix.blocks):
                to = layer.place_in_y(matrix)
                yield LinearMap("kept", matrix, block, f"x{k}", matrix.degree**2, f"y{k}", to, True)

    def _apply(self, kinds: str, k: int, which: str, back: bool = False) -> list[str]:
        """C++ statements that apply the linear maps of the given kinds in layer k, with `back` their transposes instead."""
        lines = []
        for item in self._maps(k):
            if item.kind not in kinds:
                continue
            matrix = item.matrix
            x, y = self._rows(which, item.source, item.source_start), self._rows(which, item.target, item.target_start)
            size, add = (matrix.n_in, matrix.n_out), item.adds
            ends, weights = f"{x}, {y}", "theta"
            if back:
                # Self-connections are applied last and add to the adjoints from the convolution.
                size, add = (matrix.n_out, matrix.n_in), item.kind == "kept"
                ends, weights = f"{y}, {x}", "theta_t"
            numbers = f"{2 * matrix.degree + 1}, {size[0]}, {size[1]}, {weights} + {matrix.at(item.block)}"
            lines.append(f"linear({ends}, {numbers}, {item.beads}, {str(add).lower()});")
        return lines

    def _gradients(self, kinds: str, k: int) -> list[str]:
        """C++ statements that add to the gradient of the matrices of layer k.

        The derivative of the energy with respect to a matrix is x^T y~, with x the input of the map and y~ the adjoint of
        its output. What is added is the tangent of this product. It has two terms: (tangent of x)^T y~ and x^T (tangent of
        y~).
        """
        lines = []
        for item in self._maps(k):
            if item.kind not in kinds:
                continue
            matrix = item.matrix
            for x, y in (("D", "A"), ("V", "B")):
                if x == "D" and item.source == "x0":
                    continue
                source, target = self._rows(x, item.source, item.source_start), self._rows(y, item.target, item.target_start)
                sizes = f"{2 * matrix.degree + 1}, {matrix.n_in}, {matrix.n_out}"
                lines.append(f"outer({source}, {target}, {sizes}, gradient + {matrix.at(item.block)}, {item.beads});")
        return lines

    def _each(self, statement: str) -> str:
        return f"for (long i = part.first; i < part.last; i++) {statement}"

    def _gate(self, k: int, function: str, arrays: list[tuple[str, str]]) -> str:
        layer, channels = self.layout.layers[k], self.layout.channels
        sizes = {f"y{k}": layer.sizes["y"] * channels, f"x{k + 1}": n_components(layer.l_out) * channels}
        at = ", ".join(f"{self._array(which, name)} + i * {sizes[name]}" for which, name in arrays)
        return self._each(f"Gate<{layer.l_out}, CHANNELS>::{function}({at});")

    def _loop(self, k: int, function: str, arrays: list[tuple[str, str]], last: str = "") -> str:
        layer = self.layout.layers[k]
        name = self.convolutions[tuple(layer.paths)].name
        at = ", ".join(self._array(which, array) for which, array in arrays)
        return f"{name}_{function}(g, part.first, part.last, theta + {layer.spline}, {at}{last});"

    def _forward(self) -> list[str]:
        start = f"copy(theta + p.types[i] * CHANNELS, {self._array('V', 'x0')} + i * CHANNELS, 1);"
        lines = [self._each(start)]
        for k in range(len(self.layout.layers)):
            lines += [*self._apply("before", k, "V"), "crew.barrier();"]
            lines += [self._loop(k, "forward", [("V", f"m{k}"), ("V", f"s{k}")]), *self._apply("after kept", k, "V")]
            lines += [self._gate(k, "forward", [("V", f"y{k}"), ("V", f"x{k + 1}")])]
        return [*lines, self._each(f"p.energies[i] = bounded({self._read('V')});")]

    def _reverse(self) -> list[str]:
        lines = [self._each(f"copy(theta + {self.layout.readout}, {self._last('A')}, bounded_slope({self._read('V')}));")]
        for k in reversed(range(len(self.layout.layers))):
            lines += [self._gate(k, "reverse", [("V", f"y{k}"), ("A", f"x{k + 1}"), ("A", f"y{k}")])]
            lines += [*self._apply("after", k, "A", back=True), "crew.barrier();"]
            arrays = [("V", f"m{k}"), ("A", f"s{k}")]
            if k == 0:  # the inputs of the first layer do not depend on positions
                lines += [self._loop(k, "reverse_edges", arrays)]
            else:
                lines += [self._loop(k, "reverse", [*arrays, ("A", f"m{k}")])]
                lines += [*self._apply("before", k, "A", back=True), *self._apply("kept", k, "A", back=True)]
        return lines

    def _tangent(self) -> list[str]:
        lines = [self._each(f"zero({self._array('D', name)} + i * CHANNELS);") for name in ("x0", "m0")]
        for k in range(len(self.layout.layers)):
            lines += [*(self._apply("before", k, "D") if k > 0 else []), "crew.barrier();"]
            lines += [self._loop(k, "tangent", [("V", f"m{k}"), ("D", f"m{k}"), ("D", f"s{k}")])]
            lines += [*self._apply("after kept", k, "D")]
            lines += [self._gate(k, "tangent", [("V", f"y{k}"), ("D", f"y{k}"), ("D", f"x{k + 1}")])]
        return lines

    def _reverse_tangent(self) -> list[str]:
        readout, slope = self.layout.readout, f"bounded_slope({self._read('V')})"
        weight = f"p.energy_weights[i] * {slope} + bounded_curvature({self._read('V')}) * {self._read('D')}"
        lines = [
            self._each(f"copy(theta + {readout}, {self._last('B')}, {weight});"),
            self._each(f"add({self._last('D')}, gradient + {readout}, {slope});"),
            self._each(f"add({self._last('V')}, gradient + {readout}, {weight});"),
        ]
        for k in reversed(range(len(self.layout.layers))):
            y, x = f"y{k}", f"x{k + 1}"
            lines += [self._gate(k, "reverse_tangent", [("V", y), ("D", y), ("A", x), ("B", x), ("B", y)])]
            lines += [*self._gradients("after kept", k), *self._apply("after", k, "B", back=True), "crew.barrier();"]
            arrays = [("V", f"m{k}"), ("D", f"m{k}"), ("A", f"s{k}"), ("B", f"s{k}"), ("B", f"m{k}")]
            lines += [self._loop(k, "reverse_tangent", arrays, f", gradient + {self.layout.layers[k].spline}")]
            lines += self._gradients("before", k)
            lines += [*self._apply("before", k, "B", back=True), *self._apply("kept", k, "B", back=True)]
        lines += [self._each(f"add({self._array('B', 'x0')} + i * CHANNELS, gradient + p.types[i] * CHANNELS, 1);")]
        return lines

    def _transpositions(self) -> list[str]:
        lines = []
        for layer in self.layout.layers:
            for matrix in (*layer.before, *layer.after, *layer.self_connection):
                for block in range(matrix.blocks):
                    at = matrix.at(block)
                    lines.append(f"transpose(theta + {at}, out + {at}, {matrix.n_in}, {matrix.n_out});")
        return lines

    def _program(self) -> str:
        passes = {
            "forward": self._forward(),
            "reverse": self._reverse(),
            "tangent": self._tangent(),
            "reverse_tangent": self._reverse_tangent(),
        }
        arrays = " ".join(f"real* const {short} = p.{name}; (void){short};" for short, name in SETS.items())
        head = f"const long n = p.beads, own = part.last - part.first; (void)own; {arrays}"
        head += " const real *theta = p.theta, *theta_t = p.theta_t; (void)theta, (void)theta_t;"
        functions = [_function(name, ARGUMENTS, [head, *lines]) for name, lines in passes.items()]
        return "\n".join([*functions, _function("transpose_all", "const real* theta, real* out", self._transpositions())])


def _function(name: str, arguments: str, lines: list[str]) -> str:
    body = "\n    ".join(lines)
    return f"static void {name}({arguments}) {{\n    {body}\n}}\n"
