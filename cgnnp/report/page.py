"""What a run found, for people: one self-contained HTML page, pictures and a CSV of the curves.

Every word of judgement on the page is computed from the numbers in the summary. Pictures are drawn twice, for light and
for dark screens.
"""

import base64
import functools
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2
from matplotlib.figure import Figure

from cgnnp.analysis.figures import DARK, LIGHT, Theme, plot_history, plot_prior, plot_ybg, png
from cgnnp.analysis.rdf_residual import CLOSE, LIKELY, MATTERS, NOISE_FACTOR
from cgnnp.analysis.rdf_verdict import LEVELS, agreement, in_words, worst_row
from cgnnp.report.judgement import (
    PEAK_HEIGHT,
    PEAK_SHIFT_NM,
    TESTED_FRAMES,
    apart,
    at_infinite_dilution,
    has_hole,
    is_neutral,
    judge,
    peak_shift,
    relative,
    temperature_agrees,
    thermostat,
)
from cgnnp.report.summary import Summary, TemperatureFigures
from cgnnp.runtime.formatting import duration, number, percent, plus_minus, significant
from cgnnp.runtime.storage import write_file

USUAL = ("screened_coulomb", "pair_spline")
"""Priors that the page has words for."""


def write_report(
    run_dir: Path,
    summary: Summary,
    *,
    name: str = "report.html",
    metrics: Sequence[dict[str, float]] = (),
    priors: Sequence[Any] | None = None,
    pictures: Mapping[str, Callable[[Theme], Figure | None]] = MappingProxyType({}),
    config_yaml: str = "",
    log_tail: str = "",
) -> Path:
    """Write report.html and the pictures in it (rdf.png, ybg.png, history.png, prior.png, ...) to a folder; the page's path.

    Parts that a run does not have are left out of the page, which then says so.

    Args:
        run_dir: the folder.
        summary: of the run; what is None is shown as unknown.
        name: of the page.
        metrics: of the fit, a row an epoch.
        priors: the prior potentials; None where they are not known.
        pictures: of the comparison by name: rdf, dimers, coordination, pmf, kirkwood_buff.
        config_yaml: the resolved configuration.
        log_tail: last lines of the log.
    """
    drawings = dict(pictures)
    if residuals := ybg_curves([row[:3] for row in temperatures(summary)]):
        drawings["ybg"] = lambda theme: plot_ybg(residuals, theme)
    if metrics:
        drawings["history"] = lambda theme: plot_history(metrics, theme)
    if priors:
        drawings["prior"] = lambda theme: plot_prior(priors, summary.temperature_K or 300.0, theme)
    images = write_pictures(run_dir, drawings)
    page = run_dir / name
    text = {"config_yaml": config_yaml, "log_tail": log_tail, "path": str(run_dir), "run_dir": shlex.quote(str(run_dir))}
    has_loss = any("loss" in row for row in metrics)
    others = None if priors is None else [prior.kind.replace("_", " ") for prior in priors if prior.kind not in USUAL]
    has_splines = priors is None or any(prior.kind == "pair_spline" for prior in priors)
    parts = {"n_epochs": len(metrics), "has_loss": has_loss, "other_priors": others, "has_splines": has_splines}
    write_file(page, render(summary, images, **parts, **text))
    return page


def write_pictures(directory: Path, drawings: dict[str, Callable[[Theme], Figure | None]]) -> dict[str, tuple[str, str]]:
    """Write the light pictures to a folder, and return all in base64 (light, dark); those that are None are left out."""
    images: dict[str, tuple[str, str]] = {}
    for name, draw in drawings.items():
        if (light := draw(LIGHT)) is not None and (dark := draw(DARK)) is not None:
            pictures = png(light), png(dark)
            write_file(directory / f"{name}.png", pictures[0])
            images[name] = _base64(pictures[0]), _base64(pictures[1])
    return images


@functools.cache
def page_template(name: str) -> jinja2.Template:
    """A template of the package, with the filters that pages use."""
    loader = jinja2.FunctionLoader(
        lambda file: resources.files("cgnnp.report").joinpath("templates", file).read_text("utf-8")
    )
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=loader)
    filters = {"num": number, "significant": significant, "pm": plus_minus, "percent": percent, "duration": duration}
    environment.filters |= filters
    environment.tests["has_hole"] = has_hole
    environment.globals |= {"relative": relative, "peak_shift": peak_shift}
    environment.globals |= {"is_neutral": is_neutral, "has_hole": has_hole, "apart": apart}
    environment.globals |= {
        "agreement": agreement,
        "in_words": in_words,
        "levels": LEVELS,
        "at_infinite_dilution": at_infinite_dilution,
    }
    return environment.get_template(name)


def render(summary: Summary, images: dict[str, tuple[str, str]], **text: Any) -> str:
    """The page, from the summary and base64 pictures (light, dark)."""
    timings = {name: seconds for name, seconds in summary.timings_s.items() if seconds}
    limits = {"height": PEAK_HEIGHT, "shift": PEAK_SHIFT_NM}
    limits |= {"p": LIKELY, "noise_factor": NOISE_FACTOR, "matters": MATTERS, "close": CLOSE}
    values = {"s": summary, "rdf": summary.rdf, "images": images, "verdict": judge(summary), "timings": timings}
    values |= {"limits": limits, "worst": worst_row(summary.rdf), "temperatures": temperatures(summary)}
    return page_template("report.html.j2").render(values, **text)


def temperatures(summary: Summary) -> list[tuple[TemperatureFigures, str, float | None, bool | None]]:
    """T_conf of both sides: what was found, of what, the thermostat, and whether they agree."""
    sides = [(getattr(summary, key), name, thermostat(summary, key)) for key, name in TESTED_FRAMES.items()]
    return [(found, name, expected, temperature_agrees(found, expected)) for found, name, expected in sides]


def ybg_curves(
    sides: Sequence[tuple[TemperatureFigures, str, float | None]],
) -> list[tuple[str, float, list[dict[str, Any]]]]:
    """Name, thermostat and rows of every g-YBG residual there is, for `plot_ybg`."""
    known = [(name, expected, (found.ybg or {}).get("local")) for found, name, expected in sides]
    return [(name, expected, rows) for name, expected, rows in known if rows and expected]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
