"""Spherical harmonics as polynomials, from which C++ is generated."""

from collections import defaultdict

from cgnnp.models.convolution import HarmonicStep

Powers = tuple[int, int, int]


class Polynomial(dict[Powers, float]):
    """A polynomial in the components x, y, z of a unit vector, as {powers: coefficient}."""

    def times(self, other: "Polynomial", factor: float) -> "Polynomial":
        """Return the product of the two polynomials and the number `factor`."""
        result: dict[Powers, float] = defaultdict(float)
        for (a, b, c), left in self.items():
            for (d, e, f), right in other.items():
                result[a + d, b + e, c + f] += factor * left * right
        return Polynomial(result)

    def plus(self, other: "Polynomial") -> "Polynomial":
        """Return the sum of the two polynomials, without terms that cancel."""
        keys = {*self, *other}
        total = {key: self.get(key, 0.0) + other.get(key, 0.0) for key in sorted(keys)}
        return Polynomial({key: value for key, value in total.items() if abs(value) > 1e-12})

    def slope(self, axis: int) -> "Polynomial":
        """Return the derivative with respect to component `axis`."""
        lower = Polynomial()
        for (a, b, c), value in self.items():
            n = (a, b, c)[axis]
            if n > 0:
                lower[a - (axis == 0), b - (axis == 1), c - (axis == 2)] = value * n
        return lower

    def code(self) -> str:
        """Return the polynomial as a C++ expression in x, y, z."""
        terms = []
        for powers, value in self.items():
            factors = [name for name, n in zip("xyz", powers, strict=True) for _ in range(n)]
            terms.append(" * ".join([f"(real){value!r}", *factors]))
        return " + ".join(terms) or "0"


def harmonic_polynomials(l_max: int) -> list[Polynomial]:
    """Return the (l_max + 1)^2 real spherical harmonics in the order and normalisation of `SphericalHarmonics`."""
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
