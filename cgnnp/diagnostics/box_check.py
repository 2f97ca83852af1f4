"""Test whether boxes belong to the positions, by the traces that a wrong box leaves in frames of a homogeneous system.

*Seam.* A pair of beads is *shifted* if its shortest vector is not the difference of the stored positions, but differs from
it by box vectors: the pair crosses a face of the box. In a correct box shifted pairs are like all others. At each distance
the mean force along them is that of all pairs. The fraction of pairs that are shifted is a smooth function of distance. (For
wrapped positions it is the mean of 1 - (1 - |x|/L_x)(1 - |y|/L_y)(1 - |z|/L_z). For unwrapped positions that have diffused
it is another function.) In a wrong box shifted pairs are at wrong distances, which changes their number and their mean
force. Both are judged by Hotelling's test over distances. If one sort of pairs is absent at distances where the other sort
occurs, no statistics are needed. This happens, for example, when beads overlap across a wrong face.

*Gap.* If a box is too large for wrapped positions, one part of it is empty and the rest is evenly filled up to the gap.

*Images.* If a box is k times too long for unwrapped positions of a liquid, there are no beads near the points that are 1/k
of the box away from another bead, because these are the places of its periodic images.

Inhomogeneous systems (a slab, a droplet) and systems with too few pairs across the faces are not tested. Imports numpy only.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from cgnnp.diagnostics.box_variation import wrong_variation
from cgnnp.frames.boxes import half_shortest, smallest_height
from cgnnp.frames.frames import Frames
from cgnnp.frames.pairs import minimum_image, near_pairs
from cgnnp.mapping.mapping import Mapping
from cgnnp.statistics import MIN_BLOCKS, SIGMAS, block_estimate, hotelling_test, slowest

NEIGHBOURS = 60
"""Pairs are counted up to the distance within which a bead has this mean number of neighbours, and at most half the box."""

MOST_FRAMES, MOST_PAIRS = 1500, 2_000_000
"""Largest number of frames that are examined, evenly spaced, and largest total number of pairs in them."""

FINE, COARSE, DEGREE = 240, 12, 3
"""Number of distance bins for counting, number of coarser bins for the test, and degree of the polynomial in the distance
that describes the fraction of shifted pairs."""

FEWEST_FRAMES, WINDOW, WINDOWS = 40, 20, 20
"""Smallest number of frames for the comparison of pairs, smallest number of frames in a time window, and largest number of
windows. The fraction of shifted pairs is fitted in each window, because it changes as unwrapped positions diffuse."""

MIN_PAIRS = 300
"""Shifted pairs are compared with all pairs only if all frames together have so many shifted pairs, and so many others."""

ABSENT, MIN_EXPECTED, MIN_DISTINCT = 0.02, 50.0, 12.0
"""Pairs are absent at a distance (or beads at a place) if fewer than the fraction ABSENT of those expected are found, and at
least MIN_EXPECTED are expected. The expected ones must also include MIN_DISTINCT distinct pairs of beads, because a single
pair in lasting contact is counted in every frame."""

MIN_VISITS = 20.0
"""An empty part of the box is a gap only if at least this number of visits of beads to it was expected. With fewer expected
visits it may be empty by chance."""

SLICES, UNEVEN, GAP, EVEN = 10, 0.5, 0.015, 0.35
"""The box is cut into SLICES slices along each box vector. The density is uneven if that of any slice deviates from the mean
by more than the fraction UNEVEN and by more than four standard errors. A gap must be wider than the fraction GAP of the
edge. The rest of the box is evenly filled if the density of none of its slices deviates by more than the fraction EVEN."""

BOX_UNLIKELY = 1e-6
"""Shifted pairs differ significantly from all pairs if the p value is below this. The limit is low because contacts last
long, so that the distribution of the number of pairs has tails that are not Gaussian."""

WRONG_BY = 1.05
"""A box passes only if the test fails for the same box with one edge longer by this factor. Else it counts as not tested."""

FRACTIONS = range(2, 11)
"""Values of k that the test for images tries; it detects boxes that are k times too long."""


@dataclass(frozen=True)
class BoxCheck:
    """Result of the test whether boxes belong to the positions.

    Args:
        wrong: description of what is wrong; empty if nothing is.
        reason: reason why the box could not be tested; empty if it was tested.
        open_boundaries: whether the frames have no boxes.
        p_value: probability that chance alone gives a larger difference between pairs across the faces and all pairs; None
            if there was no such comparison.
    """

    wrong: str = ""
    reason: str = ""
    open_boundaries: bool = False
    p_value: float | None = None

    def agrees(self) -> bool | None:
        """Whether the boxes belong to the positions; None if that could not be tested."""
        return False if self.wrong else None if self.reason else True

    def __str__(self) -> str:
        if self.open_boundaries:
            return "box: none, open boundaries"
        if self.p_value is None:
            return f"box: {self.wrong or self.reason or 'no pair of beads crosses its faces'}"
        return f"box: {self.wrong or 'pairs across its faces are like all others'} (p {self.p_value:.2g})"


def check_box(frames: Frames) -> BoxCheck:
    """Test whether the boxes of frames belong to the positions, from the pairs of beads in different molecules.

    A single molecule has no such pairs and passes without a test.
    """
    if frames.boxes is None:
        return BoxCheck(open_boundaries=True)
    if wrong := wrong_variation(frames):
        return BoxCheck(wrong=wrong)
    molecules = _molecules(frames.mapping)
    if molecules[-1] == 0:
        return BoxCheck()
    if len(frames) < 2:
        return BoxCheck(reason="a single frame is too few to compare pairs: sample more")
    if wrong := _image_hole(frames, molecules):
        return BoxCheck(wrong=wrong)
    found = _seam(frames, molecules)
    for axis, name in enumerate("abc") if found.agrees() else ():
        stretch = np.where(np.arange(3) == axis, WRONG_BY, 1.0)
        if _seam(replace(frames, boxes=frames.boxes * stretch), molecules).agrees() is not False:
            longer = f"a box that is {100 * (WRONG_BY - 1):.0f} % longer along {name}"
            return BoxCheck(
                reason=f"{longer} would pass this test too: there are too few pairs (more frames help), or pairs at "
                "different distances are too similar"
            )
    return found


def _molecules(mapping: Mapping) -> Int[np.ndarray, "beads"]:
    """Index of the molecule of every bead."""
    sizes = [block.n_beads for block in mapping.blocks for _ in range(block.n_copies)]
    return np.repeat(np.arange(len(sizes)), sizes)


def _hardly_move(frames: Frames, size: float) -> bool:
    """Whether most beads have moved less than `size` (nm) between the first and the last frame."""
    moved = np.asarray(frames.positions[-1], dtype=np.float64) - frames.positions[0]
    return bool(np.median(np.linalg.norm(moved, axis=1)) < size)


def _spread(frames: Frames, number: int) -> Frames:
    """Return at most `number` evenly spaced frames, in order."""
    return frames[np.unique(np.linspace(0, len(frames) - 1, min(number, len(frames))).astype(int))]


# Seam


@dataclass(frozen=True)
class _Counts:
    """Histograms over pair distances in every frame.

    Args:
        r: centres of the distance bins, nm.
        every: number of all pairs, shifted or not.
        shifted: number of shifted pairs.
        every_force: sum of the force differences along all pairs.
        shifted_force: sum of the force differences along the shifted pairs.
        distinct: number of distinct pairs of beads that are ever in this bin or closer. Only the lower half of the bins
            is counted.
    """

    r: Float[np.ndarray, "fine"]
    every: Float[np.ndarray, "frames fine"]
    shifted: Float[np.ndarray, "frames fine"]
    every_force: Float[np.ndarray, "frames fine"]
    shifted_force: Float[np.ndarray, "frames fine"]
    distinct: Int[np.ndarray, "fine"]

    @property
    def basis(self) -> Float[np.ndarray, "fine functions"]:
        """Chebyshev polynomials of the distance, in which the fraction of shifted pairs is expanded."""
        return np.polynomial.chebyshev.chebvander(2 * self.r / self.r[-1] - 1, DEGREE)


def _seam(frames: Frames, molecules: Int[np.ndarray, "beads"]) -> BoxCheck:
    """Compare shifted pairs with all pairs at the same distances, and test whether the density is homogeneous."""
    pairs = len(frames.positions[0]) ** 2 // 2
    found = _count(_spread(frames, int(np.clip(MOST_PAIRS // max(pairs, 1), FEWEST_FRAMES, MOST_FRAMES))), molecules)
    n_shifted, n_every, n_frames = int(found.shifted.sum()), int(found.every.sum()), len(found.every)
    if min(n_shifted, n_every - n_shifted) < MIN_PAIRS or n_frames < FEWEST_FRAMES:
        few = BoxCheck(
            reason=f"{n_shifted} of {n_every} near pairs in {n_frames} frames cross its faces: too few frames, or too few "
            "pairs of one sort, to compare them"
        )
        return _filling(_spread(frames, MOST_FRAMES)) or few
    fraction = _smooth_fraction(found)
    if wrong := _absent(found, fraction):
        return BoxCheck(wrong=wrong)
    if (filling := _filling(_spread(frames, MOST_FRAMES))) is not None:
        return filling
    if _hardly_move(frames, float(found.r[np.flatnonzero(found.every.sum(axis=0))[0]])):
        return BoxCheck(
            reason="most beads have moved less than their size, so pairs have not mixed: this is a solid, or the run is too "
            "short"
        )
    starts = np.unique(np.linspace(np.flatnonzero(found.every.sum(axis=0))[0], FINE, COARSE + 1).astype(int)[:-1])

    def coarse(array: np.ndarray) -> np.ndarray:
        return np.add.reduceat(array, starts, axis=-1)

    number = coarse(found.shifted - fraction * found.every)
    fitted = coarse((found.basis * found.every.mean(axis=0)[:, None]).T).T
    unfitted = np.linalg.qr(fitted, mode="complete")[0][:, fitted.shape[1] :]
    force = coarse(found.shifted_force - fraction * found.every_force)
    samples = {"their number": number @ unfitted, "the force along them": force}
    # Which pairs are shifted changes as slowly as their number, but noise hides this in the autocorrelation of the forces.
    tau, reliable = max(map(slowest, samples.values()))
    tests = {name: _p_value(values, tau) for name, values in samples.items()}
    differing = [name for name, p_value in tests.items() if p_value < BOX_UNLIKELY]
    if differing and not reliable:
        return BoxCheck(
            reason=f"pairs across its faces differ from others, but there are fewer than {MIN_BLOCKS} independent frames"
        )
    text = f"pairs across its faces are not like others at the same distance ({' and '.join(differing)})"
    return BoxCheck(wrong=text if differing else "", p_value=min(tests.values()))


def _count(frames: Frames, molecules: Int[np.ndarray, "beads"]) -> _Counts:
    """Count the pairs of beads in different molecules by distance, and sum the forces along them."""
    density = len(molecules) / float(np.abs(np.linalg.det(frames.boxes[0])))
    cutoff = min((NEIGHBOURS / (4 / 3 * np.pi * density)) ** (1 / 3), half_shortest(frames.boxes))
    sums, close = np.zeros((4, len(frames), FINE)), []
    for t, (positions, forces, box) in enumerate(zip(frames.positions, frames.forces, frames.boxes, strict=True)):
        pairs = near_pairs(positions, box, cutoff)
        between = (molecules[pairs.i] != molecules[pairs.j]) & (pairs.distances > 0)
        i, j, vectors, r = pairs.i[between], pairs.j[between], pairs.vectors[between], pairs.distances[between]
        shifts = np.abs(positions[i].astype(np.float64) - positions[j] - vectors).T
        x, y, z = shifts > smallest_height(box) / 4
        shifted = (x | y | z).astype(np.float64)
        along = np.einsum("px,px->p", forces[i].astype(np.float64) - forces[j], vectors) / r
        bins = np.minimum((r * FINE / cutoff).astype(int), FINE - 1)
        for part, values in zip(sums, (np.ones_like(r), shifted, along, shifted * along), strict=True):
            part[t] = np.bincount(bins, values, minlength=FINE)
        near = bins < FINE // 2
        close.append(np.stack([bins[near], i[near] * len(molecules) + j[near]]))
    nearest, codes = np.concatenate(close, axis=1)
    order = np.lexsort((nearest, codes))
    first = np.unique(codes[order], return_index=True)[1]
    distinct = np.bincount(nearest[order][first], minlength=FINE).cumsum()
    every, shifted, every_force, shifted_force = sums
    return _Counts(cutoff / FINE * (np.arange(FINE) + 0.5), every, shifted, every_force, shifted_force, distinct)


def _smooth_fraction(found: _Counts) -> Float[np.ndarray, "frames fine"]:
    """Fit a polynomial of the distance to the fraction of pairs that are shifted, separately in every time window."""
    fraction, basis = np.empty_like(found.every), found.basis
    for window in np.array_split(np.arange(len(fraction)), min(WINDOWS, len(fraction) // WINDOW)):
        every, shifted = found.every[window].sum(axis=0), found.shifted[window].sum(axis=0)
        scale = np.where(every > 0, np.maximum(every, 1.0) ** -0.5, 0.0)
        fraction[window] = basis @ np.linalg.lstsq((scale * every)[:, None] * basis, scale * shifted, rcond=None)[0]
    return fraction


def _absent(found: _Counts, fraction: Float[np.ndarray, "frames fine"]) -> str:
    """Describe in words if one sort of pairs (shifted or not) never comes as close as the other; else return ""."""
    shifted, every = found.shifted.sum(axis=0).cumsum(), found.every.sum(axis=0).cumsum()
    expected = (np.clip(fraction, 0.0, 1.0) * found.every).sum(axis=0).cumsum()
    sorts = {
        "pairs inside it": (every - shifted, every - expected),
        "pairs across its faces": (shifted, expected),
    }
    for name, (seen, wanted) in sorts.items():
        pairs = found.distinct * wanted / np.maximum(every, 1.0)
        where = np.flatnonzero((wanted > MIN_EXPECTED) & (pairs > MIN_DISTINCT) & (seen < ABSENT * wanted))
        if len(where):
            other = next(key for key in sorts if key != name)
            return f"{name} are never closer than {found.r[where[-1]]:.3g} nm, but {other} are"
    return ""


def _p_value(samples: Float[np.ndarray, "frames quantities"], tau: float) -> float:
    """Return the p value of Hotelling's test whether averages are zero; 1 if it is not possible, as when nothing varies."""
    found = hotelling_test(samples, tau)
    return 1.0 if found is None else found.p_value


# Filling


def _filling(frames: Frames) -> BoxCheck | None:
    """Test whether the density is the same everywhere in the box.

    Returns:
        A failed test if part of the box is empty and the rest is evenly filled. A result without a verdict, but with a
        reason, if the density is uneven in another way. None if the density is even.
    """
    boxes, positions = (np.asarray(array, dtype=np.float64) for array in (frames.boxes, frames.positions))
    places = np.einsum("tbx,txk->tbk", positions, np.linalg.inv(boxes)) % 1.0
    for axis, name in enumerate("abc"):
        along = places[..., axis]
        if (empty := _sharp_gap(along)) > 0:
            return BoxCheck(
                wrong=f"no bead is in {100 * empty:.0f} % of it along {name}, and the rest is evenly filled up to this gap"
            )
        slices = np.searchsorted(np.linspace(0.0, 1.0, SLICES + 1)[1:-1], along, "right")
        slices += SLICES * np.arange(len(along))[:, None]
        counts = np.bincount(slices.ravel(), minlength=SLICES * len(along)).reshape(-1, SLICES).astype(np.float64)
        off = np.abs(counts.mean(axis=0) / counts.mean() - 1)
        found = block_estimate(counts)
        if (
            found.reliable
            and (uneven := off[off > np.maximum(UNEVEN, SIGMAS * np.asarray(found.stderr) / counts.mean())]).size
        ):
            percent = 100 * uneven.max()
            return BoxCheck(
                reason=f"the density along {name} is uneven ({percent:.0f} %), and only homogeneous boxes are tested"
            )
    return None


def _sharp_gap(along: Float[np.ndarray, "frames beads"]) -> float:
    """Return the fraction of an edge in which there is never a bead, if the rest is evenly filled; else 0."""
    counts = np.histogram(along, bins=20 * SLICES, range=(0.0, 1.0))[0]
    first, length = _longest_gap(counts == 0)
    gap = length / len(counts)
    if gap <= GAP or gap * _visits(along) < MIN_VISITS:
        return 0.0
    filled = (along - (first + length) / len(counts)) % 1.0
    start, end = float(filled.min()), float(filled.max())
    slices = np.histogram(filled, bins=SLICES, range=(start, end))[0]
    return 1.0 - (end - start) if np.abs(slices / slices.mean() - 1).max() < EVEN else 0.0


def _visits(along: Float[np.ndarray, "frames beads"]) -> int:
    """Divide an edge into 20 parts, and sum over the beads in how many different parts each bead has ever been."""
    places = (20 * along).astype(int) % 20
    return len(np.unique(places + 20 * np.arange(along.shape[1])))


def _longest_gap(empty: Bool[np.ndarray, "bins"]) -> tuple[int, int]:
    """Return the index of the first bin, and the length, of the longest run of empty bins. The bins are periodic."""
    filled = np.flatnonzero(~empty)
    lengths = np.diff(np.append(filled, filled[0] + len(empty))) - 1
    return int(filled[np.argmax(lengths)] + 1) % len(empty), int(lengths.max())


# Images


def _image_hole(frames: Frames, molecules: Int[np.ndarray, "beads"]) -> str:
    """Describe in words if the box is a multiple of the true one, so that no bead comes near images of others; else ""."""
    chosen = np.unique(np.linspace(0, len(molecules) - 1, min(len(molecules), 300)).astype(int))
    i, j = (chosen[index] for index in np.triu_indices(len(chosen), k=1))
    i, j = i[molecules[i] != molecules[j]], j[molecules[i] != molecules[j]]
    some = _spread(frames, 40)
    boxes = np.asarray(some.boxes, dtype=np.float64)
    vectors = [
        minimum_image(part[i].astype(np.float64) - part[j], box) for part, box in zip(some.positions, boxes, strict=True)
    ]
    closest = 0.9 * min(float(np.sqrt(np.square(part).sum(axis=1).min())) for part in vectors)
    if _hardly_move(frames, closest):  # a solid has such holes even in the correct box
        return ""
    expected = 2 * len(i) * 4 / 3 * np.pi * closest**3 / float(np.abs(np.linalg.det(boxes[0])))
    number = int(np.clip(4 * MIN_EXPECTED / max(expected, 1e-9), 1, len(vectors)))
    for axis, name in enumerate("abc"):
        for fraction in FRACTIONS:
            steps = boxes[:number, axis] / fraction
            far = np.linalg.norm(steps, axis=1).min() > 3 * closest
            if far and _keep_away(vectors[:number], boxes, steps, closest):
                return (
                    f"no bead comes near the points that are 1/{fraction} of it along {name} away from another bead, as if "
                    f"periodic images were there: it is {fraction} times too long"
                )
    return ""


def _keep_away(
    vectors: list[Float[np.ndarray, "pairs 3"]],
    boxes: Float[np.ndarray, "frames 3 3"],
    steps: Float[np.ndarray, "steps 3"],
    radius: float,
) -> bool:
    """Whether there is a hole around the points that are one step away from beads.

    There is a hole if hardly any bead is within the radius (nm) of these points, although many are within twice the radius.

    Args:
        vectors: vectors between beads in every frame, nm.
        boxes: box vectors of every frame, nm.
        steps: step in every frame, nm.
        radius: radius of the hole, nm.
    """
    inside = around = 0
    for part, box, step in zip(vectors, boxes, steps, strict=False):
        for sign in (1.0, -1.0):
            distances = np.sqrt(np.square(minimum_image(part + sign * step, box)).sum(axis=1))
            inside += int((distances < radius).sum())
            around += int((distances < 2 * radius).sum())
    expected = (around - inside) / 7  # the shell has seven times the volume of the sphere
    return expected > MIN_EXPECTED and inside < ABSENT * expected
