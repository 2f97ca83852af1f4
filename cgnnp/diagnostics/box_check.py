"""Does the box belong to the positions? What a wrong box leaves in the frames of a homogeneous system.

*Seam.* A pair is *shifted* when its shortest vector needs a shift by box vectors from the positions as they are stored. In
the right box nothing else tells shifted pairs from the others: at each distance the mean force along them is that of all
pairs, and the fraction of pairs that are shifted is a smooth function of distance (of wrapped positions the mean of
1 - (1 - |x|/L_x)(1 - |y|/L_y)(1 - |z|/L_z); of unwrapped ones that have diffused another). In a wrong box shifted pairs
are at wrong distances, and their number and forces show it. Both are judged by Hotelling's test over distances. Where
one sort of pairs keeps away from distances that the other has, as beads that overlap do, no statistics is needed.

*Gap.* Wrapped positions leave a part of a box that is too large empty, and fill the rest evenly to its edge.

*Images.* Unwrapped positions of a liquid, in a box k times too long, keep away from each other's images at a k-th of it.

What is inhomogeneous (a slab, a droplet), or has too few pairs across its faces, is not tested. Imports numpy only.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from cgnnp.frames.boxes import half_shortest, smallest_height
from cgnnp.frames.frames import Frames
from cgnnp.frames.pairs import minimum_image, near_pairs
from cgnnp.mapping.mapping import Mapping
from cgnnp.statistics import MIN_BLOCKS, SIGMAS, block_estimate, hotelling_test, slowest

NEIGHBOURS = 60
"""Pairs are counted up to the distance within which a bead has so many neighbours, at most half the box."""

MOST_FRAMES, MOST_PAIRS = 1500, 2_000_000
"""At most so many frames, evenly spread, with so many pairs in all."""

FINE, COARSE, DEGREE = 240, 12, 3
"""Bins in which pairs are counted, bins that are tested, degree in distance of the fraction of shifted pairs."""

FEWEST_FRAMES, WINDOW, WINDOWS = 40, 20, 20
"""Frames that are needed, and frames in a window of time, of which there are at most so many: the fraction of shifted pairs
is fitted in each, since it changes as unwrapped positions diffuse."""

MIN_PAIRS = 300
"""Fewer shifted pairs, or fewer others, in all frames are too few to compare."""

ABSENT, MIN_EXPECTED, MIN_DISTINCT = 0.02, 50.0, 12.0
"""Pairs keep away from a distance, or beads from a place, where less than this part of so many expected ones is found. The
expected pairs must also be so many distinct ones: one pair in contact is seen in every frame."""

MIN_VISITS = 20.0
"""A part of the box is empty for a reason where so many visits of beads to it were expected."""

SLICES, UNEVEN, GAP, EVEN = 10, 0.5, 0.015, 0.35
"""The density of slices of the box is compared: one that is off by more than a half (and four standard errors) is uneven.
A gap that is wider than this part of an edge leaves the rest evenly filled where no slice is off by more than EVEN."""

BOX_UNLIKELY = 1e-6
"""A difference is no noise below this probability: contacts last, and the tail of their number is not Gaussian."""

WRONG_BY = 1.05
"""The test must be able to find out a box with one edge that is wrong by this factor."""

CONSTANT_VOLUME, ROUNDED = ("NVT", "NVE"), 1e-3
"""Ensembles of one box, which files may round by this part of an edge."""

FRACTIONS = range(2, 11)
"""Boxes so many times too long are found by the images of their beads."""


@dataclass(frozen=True)
class BoxCheck:
    """Whether boxes belong to positions.

    Args:
        wrong: what is wrong, in words; empty where nothing is.
        reason: why it could not be tested; empty where it was.
        open_boundaries: there is none.
        p_value: probability of a larger difference between pairs across the faces and others by chance; None where there
            are none to compare.
    """

    wrong: str = ""
    reason: str = ""
    open_boundaries: bool = False
    p_value: float | None = None

    def agrees(self) -> bool | None:
        """None where it could not be tested."""
        return False if self.wrong else None if self.reason else True

    def __str__(self) -> str:
        if self.open_boundaries:
            return "box: none, open boundaries"
        if self.p_value is None:
            return f"box: {self.wrong or self.reason or 'no pair of beads crosses its faces'}"
        return f"box: {self.wrong or 'pairs across its faces are like all others'} (p {self.p_value:.2g})"


def check_box(frames: Frames) -> BoxCheck:
    """Test the boxes of frames by the pairs between molecules; those of one molecule alone need no box."""
    if frames.boxes is None:
        return BoxCheck(open_boundaries=True)
    if wrong := _varying(frames):
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
            longer = f"one {100 * (WRONG_BY - 1):.0f} % longer along {name}"
            return BoxCheck(
                reason=f"{longer} would pass this test too: the pairs are too few (more frames help) or too alike"
            )
    return found


def _varying(frames: Frames) -> str:
    """What to say where boxes change within a run that should not, or do not where they should; else nothing."""
    if frames.meta.ensemble == "NPT" and len(frames) >= FEWEST_FRAMES and (frames.boxes == frames.boxes[0]).all():
        return f"it is the same in all {len(frames)} frames, and a barostat changes it: state the ensemble NVT, or its boxes"
    if frames.meta.ensemble not in CONSTANT_VOLUME:
        return ""
    for source in np.unique(frames.origin[:, 0]):
        numbers = np.flatnonzero(frames.origin[:, 0] == source)
        boxes = np.asarray(frames.boxes[numbers], dtype=np.float64)
        usual = np.median(boxes, axis=0)
        off = np.abs(boxes - usual).max(axis=(1, 2)) / np.diagonal(usual).max()
        worst = int(np.argmax(off))
        if off[worst] > ROUNDED:
            where = frames.came_from(int(numbers[worst]))
            return (
                f"it is {100 * off[worst]:.3g} % off in {where}, and {frames.meta.ensemble} has one box; a run at constant "
                "pressure is mapped with the ensemble NPT"
            )
    return ""


def _molecules(mapping: Mapping) -> Int[np.ndarray, "beads"]:
    """The number of every bead's molecule."""
    sizes = [block.n_beads for block in mapping.blocks for _ in range(block.n_copies)]
    return np.repeat(np.arange(len(sizes)), sizes)


def _hardly_move(frames: Frames, size: float) -> bool:
    """Whether most beads are within their size (nm) of where they were in the first frame."""
    moved = np.asarray(frames.positions[-1], dtype=np.float64) - frames.positions[0]
    return bool(np.median(np.linalg.norm(moved, axis=1)) < size)


def _spread(frames: Frames, number: int) -> Frames:
    """So many frames, evenly spread, in order."""
    return frames[np.unique(np.linspace(0, len(frames) - 1, min(number, len(frames))).astype(int))]


# Seam


@dataclass(frozen=True)
class _Counts:
    """Pairs of every frame by distance `r` (nm): all and the shifted ones, and the sums of the forces along both.

    `distinct` is the number of distinct pairs of beads that were closer than each distance in any frame, where they are
    close.
    """

    r: Float[np.ndarray, "fine"]
    every: Float[np.ndarray, "frames fine"]
    shifted: Float[np.ndarray, "frames fine"]
    every_force: Float[np.ndarray, "frames fine"]
    shifted_force: Float[np.ndarray, "frames fine"]
    distinct: Int[np.ndarray, "fine"]

    @property
    def basis(self) -> Float[np.ndarray, "fine functions"]:
        """Polynomials of the distance."""
        return np.polynomial.chebyshev.chebvander(2 * self.r / self.r[-1] - 1, DEGREE)


def _seam(frames: Frames, molecules: Int[np.ndarray, "beads"]) -> BoxCheck:
    """Shifted pairs beside all pairs at the same distances."""
    pairs = len(frames.positions[0]) ** 2 // 2
    found = _count(_spread(frames, int(np.clip(MOST_PAIRS // max(pairs, 1), FEWEST_FRAMES, MOST_FRAMES))), molecules)
    n_shifted, n_every, n_frames = int(found.shifted.sum()), int(found.every.sum()), len(found.every)
    if min(n_shifted, n_every - n_shifted) < MIN_PAIRS or n_frames < FEWEST_FRAMES:
        few = BoxCheck(
            reason=f"{n_shifted} of {n_every} near pairs in {n_frames} frames cross it: too few of one sort to compare"
        )
        return _filling(_spread(frames, MOST_FRAMES)) or few
    fraction = _smooth_fraction(found)
    if wrong := _absent(found, fraction):
        return BoxCheck(wrong=wrong)
    if (filling := _filling(_spread(frames, MOST_FRAMES))) is not None:
        return filling
    if _hardly_move(frames, float(found.r[np.flatnonzero(found.every.sum(axis=0))[0]])):
        return BoxCheck(reason="most beads have moved less than their size: a solid, or too short a run, for pairs to mix")
    starts = np.unique(np.linspace(np.flatnonzero(found.every.sum(axis=0))[0], FINE, COARSE + 1).astype(int)[:-1])

    def coarse(array: np.ndarray) -> np.ndarray:
        return np.add.reduceat(array, starts, axis=-1)

    number = coarse(found.shifted - fraction * found.every)
    fitted = coarse((found.basis * found.every.mean(axis=0)[:, None]).T).T
    unfitted = np.linalg.qr(fitted, mode="complete")[0][:, fitted.shape[1] :]
    force = coarse(found.shifted_force - fraction * found.every_force)
    tests = {"their number": _p_value(number @ unfitted), "the force along them": _p_value(force)}
    differing = [name for name, (p_value, _) in tests.items() if p_value < BOX_UNLIKELY]
    if differing and not any(tests[name][1] for name in differing):
        return BoxCheck(
            reason=f"pairs across its faces differ from others, but there are not {MIN_BLOCKS} independent frames"
        )
    text = f"pairs across its faces are not like others at the same distance ({' and '.join(differing)})"
    return BoxCheck(wrong=text if differing else "", p_value=min(p_value for p_value, _ in tests.values()))


def _count(frames: Frames, molecules: Int[np.ndarray, "beads"]) -> _Counts:
    """Count the pairs between molecules."""
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
    """The fraction of pairs that are shifted, a polynomial of distance in every window of time."""
    fraction, basis = np.empty_like(found.every), found.basis
    for window in np.array_split(np.arange(len(fraction)), min(WINDOWS, len(fraction) // WINDOW)):
        every, shifted = found.every[window].sum(axis=0), found.shifted[window].sum(axis=0)
        scale = np.where(every > 0, np.maximum(every, 1.0) ** -0.5, 0.0)
        fraction[window] = basis @ np.linalg.lstsq((scale * every)[:, None] * basis, scale * shifted, rcond=None)[0]
    return fraction


def _absent(found: _Counts, fraction: Float[np.ndarray, "frames fine"]) -> str:
    """What to say where one sort of pairs never comes as close as the other; else nothing."""
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
            return f"{name} are never closer than {found.r[where[-1]]:.3g} nm, where {other} are"
    return ""


def _p_value(samples: Float[np.ndarray, "frames quantities"]) -> tuple[float, bool]:
    """Of averages that should be zero (1 where nothing varies), and whether there are enough independent frames for it."""
    tau, reliable = slowest(samples)
    found = hotelling_test(samples, tau)
    return (1.0, True) if found is None else (found.p_value, reliable)


# Filling


def _filling(frames: Frames) -> BoxCheck | None:
    """What is found where the density is not the same all over the box."""
    boxes, positions = (np.asarray(array, dtype=np.float64) for array in (frames.boxes, frames.positions))
    places = np.einsum("tbx,txk->tbk", positions, np.linalg.inv(boxes)) % 1.0
    for axis, name in enumerate("abc"):
        along = places[..., axis]
        if (empty := _sharp_gap(along)) > 0:
            return BoxCheck(
                wrong=f"no bead is in {100 * empty:.0f} % of it along {name}, and the rest is evenly filled to its edge"
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
    """The part of an edge that no bead is ever in, where the rest is filled evenly; else 0."""
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
    """How many twentieths of an edge the beads were in, counted for every bead: a bead that stays is counted once."""
    places = (20 * along).astype(int) % 20
    return len(np.unique(places + 20 * np.arange(along.shape[1])))


def _longest_gap(empty: Bool[np.ndarray, "bins"]) -> tuple[int, int]:
    """First bin and length of the longest run of empty bins, the last followed by the first."""
    filled = np.flatnonzero(~empty)
    lengths = np.diff(np.append(filled, filled[0] + len(empty))) - 1
    return int(filled[np.argmax(lengths)] + 1) % len(empty), int(lengths.max())


# Images


def _image_hole(frames: Frames, molecules: Int[np.ndarray, "beads"]) -> str:
    """What to say where beads keep away from each other's places a whole fraction of the box apart; else nothing."""
    chosen = np.unique(np.linspace(0, len(molecules) - 1, min(len(molecules), 300)).astype(int))
    i, j = (chosen[index] for index in np.triu_indices(len(chosen), k=1))
    i, j = i[molecules[i] != molecules[j]], j[molecules[i] != molecules[j]]
    some = _spread(frames, 40)
    boxes = np.asarray(some.boxes, dtype=np.float64)
    vectors = [
        minimum_image(part[i].astype(np.float64) - part[j], box) for part, box in zip(some.positions, boxes, strict=True)
    ]
    closest = 0.9 * min(float(np.sqrt(np.square(part).sum(axis=1).min())) for part in vectors)
    if _hardly_move(frames, closest):  # a solid has holes of its own
        return ""
    expected = 2 * len(i) * 4 / 3 * np.pi * closest**3 / float(np.abs(np.linalg.det(boxes[0])))
    number = int(np.clip(4 * MIN_EXPECTED / max(expected, 1e-9), 1, len(vectors)))
    for axis, name in enumerate("abc"):
        for fraction in FRACTIONS:
            steps = boxes[:number, axis] / fraction
            far = np.linalg.norm(steps, axis=1).min() > 3 * closest
            if far and _keep_away(vectors[:number], boxes, steps, closest):
                return (
                    f"no bead comes near the points 1/{fraction} of it along {name} away from another bead, as if "
                    f"images were there: it is {fraction} times too long"
                )
    return ""


def _keep_away(
    vectors: list[Float[np.ndarray, "pairs 3"]],
    boxes: Float[np.ndarray, "frames 3 3"],
    steps: Float[np.ndarray, "steps 3"],
    radius: float,
) -> bool:
    """Whether there is a hole around the places one step from beads: (almost) none within the radius, many within twice."""
    inside = around = 0
    for part, box, step in zip(vectors, boxes, steps, strict=False):
        for sign in (1.0, -1.0):
            distances = np.sqrt(np.square(minimum_image(part + sign * step, box)).sum(axis=1))
            inside += int((distances < radius).sum())
            around += int((distances < 2 * radius).sum())
    expected = (around - inside) / 7  # the shell has seven times the volume
    return expected > MIN_EXPECTED and inside < ABSENT * expected
