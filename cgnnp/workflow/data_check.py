"""Is a data set sound? Its force map, configurational temperatures and g-YBG residual, and a page that shows them."""

import logging
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgnnp.analysis.figures import plot_ybg
from cgnnp.consistency import Consistency, check_consistency
from cgnnp.dataset import open_frames
from cgnnp.files import write_file, write_json
from cgnnp.fittable import warn_if_not_fitted
from cgnnp.force_map import certify
from cgnnp.report import page_template, write_pictures, ybg_curves
from cgnnp.undeclared_bonds import warn_of_undeclared_bonds

log = logging.getLogger("cgnnp")


@dataclass(frozen=True)
class DataCheck:
    """What was found about a data set; `disagreements` say in words what is wrong, and are empty where nothing is."""

    summary: dict[str, Any]
    consistency: Consistency
    disagreements: tuple[str, ...]

    def table(self) -> str:
        """The result as lines of text."""
        s, found = self.summary, self.consistency
        lines = [
            f"{s['data']}: {s['n_frames']} frames of {s['n_beads']} beads, mapping '{s['mapping']}', {s['ensemble']} at "
            f"{s['temperature_K']:g} K",
            _line("force map", "" if s["certificate"] else "see below", s["certificate"] is not None),
        ]
        rows = [(row.name, row) for row in found.temperatures.by_pair]
        rows += [("all together", found.temperatures.combined)] if len(rows) != 1 else []
        for name, row in rows:
            value = row.reason if row.value is None else f"{row.value:.1f}({row.stderr:.1f}) K"
            lines.append(_line(f"T_conf {name}", str(value), row.agrees(found.temperature)))
        lines.append(_line("g-YBG residual", str(found.ybg).removeprefix("g-YBG residual: "), found.ybg.agrees()))
        return "\n".join([*lines, *(f"DISAGREES: {text}" for text in self.disagreements)])


def check_data(directory: str | Path) -> DataCheck:
    """Test the frames in a folder: the mapping they were made with, and whether they are of one Boltzmann distribution.

    Raises:
        FileNotFoundError: no data set there.
        ValueError: it is damaged or empty.
    """
    frames = open_frames(directory)
    wrong, certificate = [], None
    try:
        certificate = certify(frames.mapping).to_dict()
    except ValueError as error:
        wrong.append(str(error))
    warn_if_not_fitted(frames.mapping)
    loose = warn_of_undeclared_bonds(frames, "check")
    found = check_consistency(frames)
    wrong += found.disagreements()
    summary = {
        "data": str(directory),
        "mapping": frames.mapping.name,
        "n_frames": len(frames),
        "n_beads": frames.mapping.n_beads,
        "n_bonds": len(frames.mapping.bonds),
        "ensemble": frames.meta.ensemble,
        "temperature_K": frames.temperature,
        "certificate": certificate,
        "undeclared_bonds": loose,
        **found.to_dict(),
        "disagreements": wrong,
    }
    return DataCheck(summary, found, tuple(wrong))


def write_check(check: DataCheck, output: Path) -> Path:
    """Write check.json, the picture ybg.png, and check.html, one self-contained page; the page's path."""
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "check.json", check.summary)
    curves = ybg_curves(check.summary)
    images = write_pictures(output, {"ybg": lambda theme: plot_ybg(curves, theme)} if curves else {})
    tested = check.consistency.temperatures.combined.value is not None or check.consistency.ybg.p_value is not None
    level = "poor" if check.disagreements else "good" if tested else "open"
    values = {"s": check.summary, "images": images, "level": level, "data": shlex.quote(check.summary["data"])}
    write_file(output / "check.html", page_template("check.html.j2").render(values))
    return output / "check.html"


def _line(name: str, text: str, agrees: bool | None) -> str:
    word = {True: "agrees", False: "DISAGREES", None: "not tested"}[agrees]
    return f"  {name:<24} {word:<12} {text}".rstrip()
