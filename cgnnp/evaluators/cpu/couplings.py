"""Generate the C++ code of the equivariant convolution for one set of paths.

Features have the shape (beads, components, channels), and the channels are processed in SIMD vectors. Each edge has the
radial weight w_p(r), which is the spline of path p, and the couplings A_p[c, a] = sum_b CG[a, b, c] Y_b. The inputs m_j are
the features of neighbour j, and the outputs s_i are sums over the neighbours of bead i. The code has four functions, each a
loop over the edges of every bead; a tilde marks the derivative of the energy with respect to an array:

forward          s_i[p, c]   = sum_j w_p A_p[c, a] m_j[a]
reverse          m~_j[a]     = sum_i w_p A_p[c, a] s~_i[p, c], and the derivatives with respect to r and Y of every edge
tangent          the directional derivative of s_i along a displacement of the beads
reverse tangent  the directional derivative of m~_j along the same displacement, and that of the derivatives of the energy
                 with respect to the coefficients of the splines w_p

Neighbour lists are symmetric. Therefore the reverse pass of a bead can also loop over the bead's own edges, with Y(-r) =
(-1)^l Y(r). No function has to scatter sums to other beads, and messages of edges are never stored.
"""

import math
from collections import defaultdict
from dataclasses import dataclass

from cgnnp.models.convolution import coupling_coefficients, n_components

Path = tuple[int, int, int]
ZERO = 1e-12
ARGUMENTS = "const Edges& g, long i0, long i1, const real* table"


def unit_couplings(path: Path) -> list[tuple[int, int, int, float]]:
    """Return the nonzero couplings of a path as (a, b, c, coefficient).

    Indices a, b and c are the components of features, harmonics and output. The coefficients are those of the network
    divided by `path_factor`, so that a coupling with a scalar has coefficients of 1.
    """
    cube = coupling_coefficients(path) / path_factor(path)
    nonzero = (cube.abs() > ZERO).nonzero().tolist()
    return [(a, b, c, float(cube[a, b, c])) for a, b, c in nonzero]


def path_factor(path: Path) -> float:
    """Return the factor by which radial weights of a path are multiplied, because `unit_couplings` leaves it out."""
    return math.sqrt((2 * path[2] + 1) / (2 * max(path) + 1))


class AngularTable:
    """Table of the linear combinations of spherical harmonics that the couplings of all layers need.

    Each combination is computed once per edge. Combinations that differ only in their sign share one entry. The first
    entries are the harmonics of degree one and more.
    """

    def __init__(self, l_max: int) -> None:
        self.l_max = l_max
        self.entries: list[tuple[tuple[int, float], ...]] = [((b, 1.0),) for b in range(1, n_components(l_max))]
        self._index = {self._key(entry): k for k, entry in enumerate(self.entries)}

    @staticmethod
    def _key(entry: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
        return tuple((b, round(coefficient, 10)) for b, coefficient in entry)

    def find(self, terms: dict[int, float]) -> tuple[int, int]:
        """Return the index and the sign of a combination {harmonic: coefficient}, which is added to the table if new."""
        entry = tuple(sorted(terms.items()))
        for sign in (1, -1):
            signed = self._key(tuple((b, sign * coefficient) for b, coefficient in entry))
            if signed in self._index:
                return self._index[signed], sign
        self.entries.append(entry)
        self._index[self._key(entry)] = len(self.entries) - 1
        return len(self.entries) - 1, 1

    def statements(self, harmonics: str, table: str) -> str:
        """Return C++ statements that compute `table` from `harmonics`, an array that includes component 0."""
        lines = []
        for k, entry in enumerate(self.entries):
            total = " + ".join(f"(real){c!r} * {harmonics}[{b}]" if c != 1.0 else f"{harmonics}[{b}]" for b, c in entry)
            lines.append(f"{table}[{k}] = {total};")
        return "\n".join(lines)


@dataclass(frozen=True)
class Term:
    """One term of a path: input component a times a combination of harmonics is added to output component c.

    `angular` is the index of the combination in `AngularTable`; None means a factor of one.
    """

    a: int
    c: int
    angular: int | None
    sign: int


class PathCode:
    """One path of a convolution: its index, the positions of its components, and its terms."""

    def __init__(self, number: int, path: Path, start: int, table: AngularTable) -> None:
        self.number, self.path, self.start = number, path, start
        l1, l2, _ = path
        self.couplings = [(a + l1 * l1, b + l2 * l2, c + start, value) for a, b, c, value in unit_couplings(path)]
        combined: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
        for a, b, c, value in self.couplings:
            combined[a, c][b] = value
        self.terms = []
        for (a, c), harmonics in sorted(combined.items()):
            if l2 == 0:
                self.terms.append(Term(a, c, None, 1))
            else:
                self.terms.append(Term(a, c, *table.find(harmonics)))

    @property
    def inputs(self) -> range:
        """Components of the features that the path reads."""
        return range(self.path[0] ** 2, (self.path[0] + 1) ** 2)

    @property
    def outputs(self) -> range:
        """Components of the output that the path adds to."""
        return range(self.start, self.start + 2 * self.path[2] + 1)

    @property
    def reversal(self) -> int:
        """The factor (-1)^l that the harmonics of the path acquire when the edge is reversed."""
        return (-1) ** self.path[1]

    def coupled(self, of: str, angular: str, forward: bool) -> dict[int, str]:
        """Return C++ expressions for the sums over the terms of this path, as {component: expression}.

        Args:
            of: prefix of the C++ variables that hold the components to be multiplied.
            angular: C++ name of the angular table: "A" for the values, "At" for the tangents. With "At", terms without
                harmonics are left out, because their tangents vanish.
            forward: if true, sum from inputs to outputs. Otherwise sum from outputs to inputs, with the harmonics of the
                reversed edge.
        """
        sums: dict[int, list[str]] = defaultdict(list)
        for term in self.terms:
            source, target = (term.a, term.c) if forward else (term.c, term.a)
            sign = term.sign if forward else term.sign * self.reversal
            if term.angular is not None:
                sums[target].append(f"{'-' if sign < 0 else ''}{angular}[{term.angular}] * {of}{source}")
            elif angular == "A":
                sums[target].append(f"{of}{source}")
        return {target: " + ".join(parts) for target, parts in sums.items()}


class ConvolutionCode:
    """Generates the C++ functions of the convolution (see the module) for one list of paths."""

    def __init__(self, name: str, paths: list[Path], l_in: int, table: AngularTable, channels: int) -> None:
        self.name, self.table, self.channels = name, table, channels
        self.n_in = n_components(l_in)
        self.paths: list[PathCode] = []
        start = 0
        for number, path in enumerate(paths):
            self.paths.append(PathCode(number, path, start, table))
            start += 2 * path[2] + 1
        self.n_out = start
        self.width = len(paths) * channels

    def source(self) -> str:
        """Return the C++ source of all functions."""
        return "\n".join(
            [self._forward(False), self._forward(True), self._reverse(True), self._reverse(False), self._reverse_tangent()]
        )

    def _weights(self, derivative: bool) -> list[str]:
        """C++ statements that compute the radial weights w_p of an edge.

        With `derivative` they also compute the derivatives d_p of these weights with respect to the length of the edge.
        """
        lines = []
        for path in self.paths:
            p = path.number
            rows = [f"load(T + {row * self.width + p * self.channels})" for row in range(4)]
            lines += [f"const vec {', '.join(f't{p}_{row} = {text}' for row, text in enumerate(rows))};"]
            for name, first in (("w", 0), ("d", 4))[: 1 + derivative]:
                lines += [f"const vec {name}{p} = {' + '.join(f'b[{first + row}] * t{p}_{row}' for row in range(4))};"]
        return lines

    def _load(self, name: str, pointer: str, count: int) -> list[str]:
        return [f"const vec {name}{k} = load({pointer} + {k * self.channels});" for k in range(count)]

    def _added(self, array: str, component: int, text: str) -> str:
        at = f"{array} + {component * self.channels}"
        return f"store({at}, load({at}) + {text});"

    def _forward(self, tangent: bool) -> str:
        body = [
            "const real* T = table + (long)g.knot[e] * WIDTH + v;",
            "const real *b = g.splines + 8 * e, *A = g.angular + e * ANGULAR;",
        ]
        body += self._weights(tangent)
        body += ["const real* mj = m + (long)g.sender[e] * STRIDE + v;", *self._load("x", "mj", self.n_in)]
        if tangent:
            body += ["const real *At = g.angular_t + e * ANGULAR, *ut = mt + (long)g.sender[e] * STRIDE + v;"]
            body += ["const real rt = g.length_t[e];", *self._load("u", "ut", self.n_in)]
        for path in self.paths:
            p = path.number
            coupled = path.coupled("x", "A", True)
            if not tangent:
                body += [f"s{c} += w{p} * ({text});" for c, text in coupled.items()]
                continue
            moved, turned = path.coupled("u", "A", True), path.coupled("x", "At", True)
            body += [f"const vec f{p} = rt * d{p};"]
            for c, text in coupled.items():
                both = f"{moved[c]} + {turned[c]}" if c in turned else moved[c]
                body += [f"s{c} += w{p} * ({both}) + f{p} * ({text});"]
        return self._template(
            f"static void {self.name}_{'tangent' if tangent else 'forward'}({ARGUMENTS}, "
            f"const real* m, {'const real* mt, ' if tangent else ''}real* s)",
            f"""
    for (long i = i0; i < i1; i++)
        for (int v = 0; v < CHANNELS; v += LANES) {{
            vec {", ".join(f"s{c} = {{}}" for c in range(self.n_out))};
            for (long e = g.start[i]; e < g.stop[i]; e++) {{
                {self._lines(body, 16)}
            }}
            real* out = s + i * {self.n_out * self.channels} + v;
            {self._lines([f"store(out + {c * self.channels}, s{c});" for c in range(self.n_out)], 12)}
        }}""",
        )

    def _reverse(self, inputs: bool) -> str:
        """Return the C++ source of the reverse function.

        With `inputs` the function also computes the derivative of the energy with respect to the features. The first layer
        does not need this derivative, because its features are constants.
        """
        body = ["const real* T = table + (long)g.knot[e] * WIDTH + v;"]
        body += self._weights(True)
        body += ["const real* sj = sa + (long)g.sender[e] * OUT + v;", *self._load("s", "sj", self.n_out)]
        body += ["const real* mi = m + i * STRIDE + v;", *self._load("x", "mi", self.n_in)]
        for path in self.paths:
            p = path.number
            back = path.coupled("s", "A", False)
            body += [f"const vec q{p}_{a} = {text};" for a, text in back.items()]
            if inputs:
                body += [
                    f"store(out + {a * self.channels}, load(out + {a * self.channels}) + w{p} * q{p}_{a});" for a in back
                ]
            body += [f"length += d{p} * ({' + '.join(f'q{p}_{a} * x{a}' for a in back)});"]
            if path.path[1] > 0:
                body += self._harmonic_adjoints(path)
        harmonics = range(1, n_components(self.table.l_max))
        return self._template(
            f"static void {self.name}_reverse{'' if inputs else '_edges'}({ARGUMENTS}, "
            f"const real* m, const real* sa{', real* ma' if inputs else ''})",
            f"""
    for (long i = i0; i < i1; i++) {{
        {"real total[STRIDE] = {};" if inputs else ""}
        for (long e = g.start[i]; e < g.stop[i]; e++) {{
            const real *b = g.splines + 8 * e, *A = g.angular + e * ANGULAR;
            vec length = {{}}{"".join(f", h{b} = {{}}" for b in harmonics)};
            for (int v = 0; v < CHANNELS; v += LANES) {{
                {"real* out = total + v;" if inputs else ""}
                {self._lines(body, 16)}
            }}
            g.length_a[e] += sum(length);
            {self._lines([f"g.harmonics_a[e * HARMONICS + {b - 1}] += sum(h{b});" for b in harmonics], 12)}
        }}
        {"for (int k = 0; k < STRIDE; k++) ma[i * STRIDE + k] = total[k];" if inputs else ""}
    }}""",
        )

    def _harmonic_adjoints(self, path: PathCode) -> list[str]:
        p = path.number
        lines = [f"const vec y{p}_{a} = w{p} * x{a};" for a in path.inputs]
        by_pair: dict[tuple[int, int], list[tuple[int, float]]] = defaultdict(list)
        for a, b, c, value in path.couplings:
            by_pair[a, c].append((b, path.reversal * value))
        for (a, c), terms in sorted(by_pair.items()):
            if len(terms) == 1 and terms[0][1] in (1.0, -1.0):
                lines += [f"h{terms[0][0]} {'+' if terms[0][1] > 0 else '-'}= y{p}_{a} * s{c};"]
                continue
            lines += [f"const vec z{p}_{a}_{c} = y{p}_{a} * s{c};"]
            lines += [f"h{b} += (real){value!r} * z{p}_{a}_{c};" for b, value in terms]
        return lines

    def _reverse_tangent(self) -> str:
        body = ["const real* T = table + (long)g.knot[e] * WIDTH + v;", "real* G = gradient + (long)g.knot[e] * WIDTH + v;"]
        body += self._weights(True)
        body += ["const long j = (long)g.sender[e] * OUT + v;", "const real* mi = m + i * STRIDE + v;"]
        body += [*self._load("s", "sa + j", self.n_out), *self._load("r", "sat + j", self.n_out)]
        body += [*self._load("x", "mi", self.n_in), *self._load("u", "mt + i * STRIDE + v", self.n_in)]
        for path in self.paths:
            p = path.number
            back, moved, turned = (path.coupled(*how, False) for how in (("s", "A"), ("r", "A"), ("s", "At")))
            body += [f"const vec f{p} = rt * d{p};"]
            for a, text in back.items():
                joined = f"{moved[a]} + {turned[a]}" if a in turned else moved[a]
                body += [f"const vec q{p}_{a} = {text}, k{p}_{a} = {joined};"]
                body += [
                    f"store(out + {a * self.channels}, load(out + {a * self.channels}) + w{p} * k{p}_{a} + f{p} * q{p}_{a});"
                ]
            body += [f"const vec z{p} = {' + '.join(f'q{p}_{a} * x{a}' for a in back)};"]
            body += [f"const vec n{p} = {' + '.join(f'k{p}_{a} * x{a} + q{p}_{a} * u{a}' for a in back)};"]
            for row in range(4):
                body += [self._added("G", row * len(self.paths) + p, f"b[{row}] * n{p} + (rt * b[{row + 4}]) * z{p}")]
        return self._template(
            f"static void {self.name}_reverse_tangent({ARGUMENTS}, const real* m, "
            "const real* mt, const real* sa, const real* sat, real* mat, real* gradient)",
            f"""
    for (long i = i0; i < i1; i++) {{
        real total[STRIDE] = {{}};
        for (long e = g.start[i]; e < g.stop[i]; e++) {{
            const real *b = g.splines + 8 * e, *A = g.angular + e * ANGULAR, *At = g.angular_t + e * ANGULAR;
            const real rt = g.length_t[e];
            for (int v = 0; v < CHANNELS; v += LANES) {{
                real* out = total + v;
                {self._lines(body, 16)}
            }}
        }}
        for (int k = 0; k < STRIDE; k++) mat[i * STRIDE + k] = total[k];
    }}""",
        )

    def _template(self, head: str, body: str) -> str:
        sizes = f"WIDTH = {self.width}, STRIDE = {self.n_in * self.channels}, OUT = {self.n_out * self.channels}"
        return f"{head} {{\n    constexpr long {sizes};\n    (void)WIDTH, (void)STRIDE, (void)OUT;{body}\n}}\n"

    @staticmethod
    def _lines(lines: list[str], indent: int) -> str:
        return ("\n" + " " * indent).join(lines)
