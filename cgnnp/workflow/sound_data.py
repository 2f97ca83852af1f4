"""Certify force maps and test mapped frames before anything is fitted to them."""

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
    """Results of the tests of all data sets of a job.

    Args:
        certificates: certificates of the force maps, one for each data set.
        sound: results of the tests of positions, forces and boxes, one for each data set.
        undeclared_bonds: pairs that look bonded but are not declared, in the first set that has any; None if there are none.
    """

    certificates: tuple[Certificate, ...]
    sound: tuple[Soundness, ...]
    undeclared_bonds: dict[str, Any] | None

    def refuse_unsound(self) -> None:
        """Raise an error if the data are not fit for a model, and log a warning for each test that was not possible.

        Raises:
            ValueError: a test disagrees. A g-YBG residual alone raises no error: it shows flaws too small to spoil a fit.
        """
        for one in self.sound:
            _refuse(one)

    def figures(self, names: Sequence[str | None], sets: Sequence[Frames]) -> CheckFigures:
        """Return the results in the form that the summary has.

        Args:
            names: folders of the data sets.
            sets: frames of the data sets.
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
    """Certify the force map of each set, and test whether its positions, forces and boxes belong together. Log the results.

    Raises:
        ValueError: a force map cannot be certified.
    """
    certificates = tuple(certify(frames.mapping) for frames in sets)
    sound = []
    for frames, certificate in zip(sets, certificates, strict=True):
        log.info("%s", certificate)
        found = check_soundness(frames)
        temperatures = found.consistency.temperatures
        for line in (*temperatures.by_pair, temperatures.combined)[len(temperatures.by_pair) == 1 :]:
            log.info("%s", line.compared(frames.temperature))
        log.info("%s", found.consistency.ybg.in_words())
        log.info("%s", found.box)
        sound.append(found)
    loose = [warn_of_undeclared_bonds(frames) for frames in sets]
    return Checked(certificates, tuple(sound), next(filter(None, loose), None))


def temperature_figures(found: Consistency) -> TemperatureFigures:
    """Return the configurational temperatures and the g-YBG residual in the form that the summary has."""
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
            f"{sound.box}: correct the boxes in the original data, in the units of the positions, and map the data again"
        )
    if sound.density_agrees() is False:
        raise ValueError(
            f"the density of {sound.density:.3g} g/mL is impossibly high, so the boxes are too small: correct the boxes"
        )
    temperature, result = sound.consistency.temperature, sound.consistency.temperatures.combined
    if result.agrees(temperature) is False:
        raise ValueError(f"{disagreement(result, temperature)}; see the certificate above")
    if sound.repeated:
        raise ValueError(
            f"{sound.repeated[0]}: repeated frames make errors too small, and the same frame may be fitted and held out: "
            "leave the repeated frames out"
        )
    if sound.outliers:
        raise ValueError(
            f"{sound.outliers[0]}: a single force of this size outweighs all others in a fit: leave out frames with such "
            "forces, or sample them again"
        )
