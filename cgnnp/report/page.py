"""The report of a run: one self-contained HTML page and its pictures.

Every judgement on the page is computed from the numbers in the summary. Each picture is drawn twice, for light and for dark
screens.
"""

import functools
import re
import shlex
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from cgnnp.analysis.agreement import LEVELS
from cgnnp.analysis.figures import DARK, LIGHT, png
from cgnnp.analysis.figures_ybg import plot_ybg
from cgnnp.analysis.rdf import SMOOTHING
from cgnnp.analysis.section import Picture, Section, Table, Toned
from cgnnp.diagnostics.configurational_temperature import RESOLVED
from cgnnp.diagnostics.force_errors import ForceErrors
from cgnnp.report.fit_section import fit_section, priors_in_words
from cgnnp.report.judgement import (
    PEAK_HEIGHT,
    PEAK_SHIFT_NM,
    TESTED_FRAMES,
    judge,
    judgement_of,
    peak_shift,
    relative,
    temperature_word,
    thermostat,
    worst_row,
)
from cgnnp.report.summary import Summary, TemperatureFigures
from cgnnp.runtime.formatting import duration, number, percent, plus_minus, significant
from cgnnp.runtime.storage import write_file

INDEX = re.compile(r"(?<!\w)(T(?=_conf)|g(?=_CG|_atomistic)|G(?=_cc)|φ(?=_w)|ε(?=_r)|R(?=_max))_([A-Za-z]+)")
"""Pattern of symbols with a subscript in a text, such as T_conf."""

SHORTEST_S = 0.05
"""A stage that took less time, in seconds, has found its result: the page then says so, and not that it took 0.0 s."""

CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Image:
    """A picture in base64, once for light and once for dark screens, and its size in pixels."""

    light: str
    dark: str
    width: int
    height: int


def marked(text: Any) -> Markup:
    """Return a text as HTML, with subscripts in symbols such as T_conf and with `code` in a fixed-width font.

    >>> marked("T_conf < 300 K")
    Markup('T<sub>conf</sub> &lt; 300 K')
    """
    found = INDEX.sub(r"\1<sub>\2</sub>", str(escape(text)))
    return Markup(CODE.sub(r"<code>\1</code>", found).replace(" %", "\u00a0%"))


def write_report(
    run_dir: Path,
    summary: Summary,
    *,
    name: str = "report.html",
    metrics: Sequence[dict[str, float]] = (),
    priors: Sequence[Any] | None = None,
    errors: ForceErrors | None = None,
    sections: Sequence[Section] = (),
    config_yaml: str = "",
    log_tail: str = "",
    picture_files: bool = False,
    commands: Sequence[tuple[str, str]] = (),
    potential: str | None = None,
) -> Path:
    """Write a self-contained page about a run.

    If the run has no results for a part of the page, the page leaves the part out or says that it is missing.

    Args:
        run_dir: folder that the page is written to.
        summary: summary of the run; entries that are None are shown as unknown.
        name: file name of the page.
        metrics: metrics of the fit, one row per epoch.
        priors: the prior potentials; None if they are not known.
        errors: errors of the forces on held-out frames.
        sections: sections of the comparison, in their order on the page.
        config_yaml: the resolved configuration.
        log_tail: last lines of the log.
        picture_files: whether to write the pictures beside the page too (rdf.png, angles.png, ...).
        commands: commands that repeat or continue the run, as pairs of a description and the command.
        potential: folder of the potential, relative to the current folder.

    Returns:
        Path of the page.
    """
    fit = fit_section(summary, metrics, priors, errors)
    ybg = _ybg_picture(summary)
    shown = [*sections, *([fit] if fit else []), *([Section("", [ybg])] if ybg else [])]
    images = drawn(shown, run_dir if picture_files else None)
    page = run_dir / name
    text: dict[str, Any] = {"config_yaml": config_yaml, "log_tail": log_tail, "run_dir": shlex.quote(str(run_dir))}
    text |= {"commands": commands, "potential": potential, "files": picture_files}
    parts: dict[str, Any] = {"metrics": metrics, "prior_words": priors_in_words(summary, priors), "fit": fit}
    write_file(page, render(summary, images, sections, **parts, **text))
    return page


def _ybg_picture(summary: Summary) -> Picture | None:
    """Return the picture of the g-YBG residuals of data and simulation, or None if neither is known."""
    residuals = ybg_curves(temperatures(summary))
    return Picture("ybg", "", "", lambda theme: plot_ybg(residuals, theme)) if residuals else None


def drawn(sections: Iterable[Section], folder: Path | None = None) -> dict[str, list[Image]]:
    """Draw the pictures of sections, and return their panels by the name of the picture. Empty pictures are left out.

    Args:
        sections: sections whose pictures are drawn.
        folder: folder where each picture is also written as one PNG file with all its panels; None writes no files.
    """
    images: dict[str, list[Image]] = {}
    for picture in (one for section in sections for one in section.pictures):
        if not (panels := panels_of(picture)):
            continue
        images[picture.name] = panels
        if folder is not None:
            content = b64decode(panels[0].light) if len(panels) == 1 else _png_of(picture)
            if content is not None:
                write_file(folder / f"{picture.name}.png", content)
    return images


def panels_of(picture: Picture) -> list[Image]:
    """Draw each panel of a picture for light and for dark screens. Panels without content are left out."""
    images = []
    for draw in picture.panels or (picture.draw,):
        if (light := draw(LIGHT)) is not None and (dark := draw(DARK)) is not None:
            width, height = (round(float(size) * light.dpi) for size in light.get_size_inches())
            images.append(Image(_base64(png(light)), _base64(png(dark)), width, height))
    return images


def _png_of(picture: Picture) -> bytes | None:
    """Draw all panels of a picture in one PNG file."""
    figure = picture.draw(LIGHT)
    return None if figure is None else png(figure)


@functools.cache
def page_template(name: str) -> jinja2.Template:
    """Return a template of the package, with the filters that the pages use."""
    loader = jinja2.FunctionLoader(
        lambda file: resources.files("cgnnp.report").joinpath("templates", file).read_text("utf-8")
    )
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=loader)
    filters = {"num": number, "significant": significant, "pm": plus_minus, "percent": percent, "duration": duration}
    environment.filters |= filters
    environment.filters |= {"marked": marked}
    environment.globals |= {"relative": relative, "peak_shift": peak_shift, "levels": LEVELS, "judgement_of": judgement_of}
    environment.globals |= {"temperature_word": temperature_word, "resolved": RESOLVED}
    environment.tests |= {"toned": lambda cell: isinstance(cell, Toned), "table": lambda part: isinstance(part, Table)}
    environment.tests["drawing"] = lambda part: isinstance(part, Picture)
    return environment.get_template(name)


def render(
    summary: Summary,
    images: Mapping[str, Sequence[Image]],
    sections: Sequence[Section] = (),
    metrics: Sequence[dict[str, float]] = (),
    **text: Any,
) -> str:
    """Return the HTML of the page.

    Args:
        summary: summary of the run.
        images: images by the names of their pictures.
        sections: sections of the comparison.
        metrics: metrics of the fit, one row per epoch.
        text: further values that the template uses.
    """
    timings = {name: seconds for name, seconds in summary.timings_s.items() if seconds >= SHORTEST_S}
    limits = {"height": PEAK_HEIGHT, "shift": PEAK_SHIFT_NM}
    values = {"s": summary, "rdf": summary.rdf, "images": images, "timings": timings}
    values |= {"verdict": judge(summary, metrics), "n_epochs": len(metrics), "smoothing": SMOOTHING}
    values |= {"worst": worst_row(summary), "temperatures": temperatures(summary), "sections": sections, "limits": limits}
    return page_template("report.html.j2").render(values, **text)


def temperatures(summary: Summary) -> list[tuple[TemperatureFigures, str, float | None]]:
    """Return T_conf of the mapped data and of the coarse-grained run.

    Each item holds T_conf with its details, the name of the frames, and the thermostat temperature.
    """
    return [(getattr(summary, key), name, thermostat(summary, key)) for key, name in TESTED_FRAMES.items()]


def ybg_curves(
    sides: Sequence[tuple[TemperatureFigures, str, float | None]],
) -> list[tuple[str, float, list[dict[str, Any]]]]:
    """Return the name of the frames, thermostat temperature and rows of every known g-YBG residual, for `plot_ybg`."""
    known = [(name, expected, (found.ybg or {}).get("local")) for found, name, expected in sides]
    return [(name, expected, rows) for name, expected, rows in known if rows and expected]


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
