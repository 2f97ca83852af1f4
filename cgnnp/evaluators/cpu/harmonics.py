"""Spherical harmonics as polynomials, to be written as code."""

from collections import defaultdict

from cgnnp.models.convolution import HarmonicStep

Powers = tuple[int, int, int]


class Polynomial(dict[Powers, float]):
    """A polynomial in the components of a direction: {powers: coefficient}."""

    def times(self, other: "Polynomial", factor: float) -> "Polynomial":
        """Their product times a number."""
        result: dict[Powers, float] = defaultdict(float)
        for (a, b, c), left in self.items():
            for (d, e, f), right in other.items():
                result[a + d, b + e, c + f] += factor * left * right
        return Polynomial(result)

    def plus(self, other: "Polynomial") -> "Polynomial":
        """Their sum, without what cancels."""
        keys = {*self, *other}
        total = {key: self.get(key, 0.0) + other.get(key, 0.0) for key in sorted(keys)}
        return Polynomial({key: value for key, value in total.items() if abs(value) > 1e-12})

    def slope(self, axis: int) -> "Polynomial":
        """Derivative by one component."""
        lower = Polynomial()
        for (a, b, c), value in self.items():
            n = (a, b, c)[axis]
            if n > 0:
                lower[a - (axis == 0), b - (axis == 1), c - (axis == 2)] = value * n
        return lower

    def code(self) -> str:
        """C++ in x, y, z."""
        terms = []
        for powers, value in self.items():
            factors = [name for name, n in zip("xyz", powers, strict=True) for _ in range(n)]
            terms.append(" * ".join([f"(real){value!r}", *factors]))
        return " + ".join(terms) or "0"


def harmonic_polynomials(l_max: int) -> list[Polynomial]:
    """Real spherical harmonics as `SphericalHarmonics` has them, (l_max + 1)^2 of them."""
    axes = [Polynomial({powers: 3.0**0.5}) for powers in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    degrees = [[Polynomial({(0, 0, 0): 1.0})], axes]
    for degree in range(1, l_max):
        coefficients = HarmonicStep(degree).exact().view(3, 2 * degree + 1, 2 * degree + 3).tolist()
        above = [Polynomial() for _ in range(2 * degree + 3)]
        for first, rows in zip(axes, coefficients, strict=True):
            for below, row in zip(degrees[degree], rows, strict=True):
                above = [old.plus(first.times(below, value)) for old, value in zip(above, row, strict=True)]
        degrees.append(above)
    return [polynomial for degree in degrees[: l_max + 1] for polynomial in degree]
