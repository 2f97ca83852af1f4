"""Certify force maps and test mapped frames, before anything is fitted to them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cgnnp.diagnostics.consistency import Consistency, disagreement
from cgnnp.diagnostics.soundness import Soundness, check_soundness, worst
from cgnnp.diagnostics.undeclared_bonds import warn_of_undeclared_bonds
from cgnnp.frames.frames import Frames
from cgnnp.mapping.force_map import Certificate, certify
from cgnnp.report.summary import CheckFigures, TemperatureFigures

log = logging.getLogger("cgnnp")


@dataclass(frozen=True)
class Checked:
    """What the tests of all data sets of a job say."""

    certificates: tuple[Certificate, ...]
    sound: tuple[Soundness, ...]
    undeclared_bonds: dict[str, Any] | None

    def refuse_unsound(self) -> None:
        """Refuse what no model should be fitted to; say what could not be tested.

        Raises:
            ValueError: what disagrees. (A g-YBG residual alone does not: it is more sensitive than a fit.)
        """
        for one in self.sound:
            _refuse(one)

    def figures(self, names: Sequence[str | None], sets: Sequence[Frames]) -> CheckFigures:
        """What a summary says of it.

        Args:
            names: folders of the data sets.
            sets: their frames.
        """
        rows = []
        for name, frames, one in zip(names, sets, self.sound, strict=True):
            combined = one.consistency.temperatures.combined
            row: dict[str, Any] = {"data": name, "n_frames": len(frames), "n_beads": frames.mapping.n_beads}
            rows.append(row | {"t_conf_K": combined.value, "t_conf_stderr_K": combined.stderr})
        return CheckFigures(
            certificate=self.certificates[0].to_dict(),
            data_check=worst(self.sound),
            undeclared_bonds=self.undeclared_bonds,
            t_conf=temperature_figures(self.sound[0].consistency),
            set_rows=rows if len(rows) > 1 else [],
        )


def check_sets(sets: Sequence[Frames]) -> Checked:
    """Certify the force map of each set, and test whether its positions, forces and boxes belong together.

    Raises:
        ValueError: a force map is wrong.
    """
    certificates = tuple(certify(frames.mapping) for frames in sets)
    sound = []
    for frames, certificate in zip(sets, certificates, strict=True):
        log.info("%s", certificate)
        found = check_soundness(frames)
        temperatures = found.consistency.temperatures
        for line in (*temperatures.by_pair, temperatures.combined)[len(temperatures.by_pair) == 1 :]:
            log.info("%s (thermostat %g K)", line, frames.temperature)
        log.info("%s", found.consistency.ybg)
        log.info("%s", found.box)
        sound.append(found)
    loose = [warn_of_undeclared_bonds(frames) for frames in sets]
    return Checked(certificates, tuple(sound), next(filter(None, loose), None))


def temperature_figures(found: Consistency) -> TemperatureFigures:
    """Both tests of positions and forces as a summary has them."""
    combined, by_pair = found.temperatures.combined, found.temperatures.by_pair
    return TemperatureFigures(
        pair=combined.name,
        K=combined.value,
        stderr_K=combined.stderr,
        reason=combined.reason,
        tau_frames=combined.tau_frames,
        reliable=combined.reliable,
        pairs=[row.to_dict() | {"agrees": row.agrees(found.temperature)} for row in by_pair],
        ybg=found.ybg.to_dict(),
    )


def _refuse(sound: Soundness) -> None:
    for text in sound.untested():
        log.warning("map: not tested: %s", text)
    if sound.box.agrees() is False:
        raise ValueError(
            f"{sound.box}: mend the boxes where the data come from, in the units of the positions, and map anew"
        )
    if sound.density_agrees() is False:
        raise ValueError(f"{sound.density:.3g} g/mL is more than any matter has: the boxes are too small, mend them")
    temperature, result = sound.consistency.temperature, sound.consistency.temperatures.combined
    if result.agrees(temperature) is False:
        raise ValueError(f"{disagreement(result, temperature)}; see the certificate above")
    if sound.repeated:
        raise ValueError(f"{sound.repeated[0]}: errors would be too small, and held-out frames fitted: leave them out")
    if sound.outliers:
        raise ValueError(
            f"{sound.outliers[0]}: one such force outweighs all others in a fit: leave such frames out, or sample them again"
        )
