"""What a run found, for people: one self-contained HTML page, pictures and a CSV of the curves.

Every word of judgement on the page is computed from the numbers in the summary. Pictures are drawn twice, for light and
for dark screens.
"""

import base64
import csv
import functools
import io
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2
from matplotlib.figure import Figure

from cgnnp.analysis.figures import DARK, LIGHT, Theme, plot_history, plot_prior, plot_rdf, plot_ybg, png
from cgnnp.analysis.rdf import Rdf
from cgnnp.analysis.rdf_residual import CLOSE, LIKELY, MATTERS, NOISE_FACTOR
from cgnnp.analysis.rdf_verdict import LEVELS, agreement, in_words, worst_row
from cgnnp.files import write_file
from cgnnp.verdict import (
    GOOD_D,
    PEAK_HEIGHT,
    PEAK_SHIFT_NM,
    SIDES,
    apart,
    at_infinite_dilution,
    cg_thermostat,
    has_hole,
    is_neutral,
    judge,
    peak_shift,
    relative,
    temperature_agrees,
    thermostat,
)
from cgnnp.wording import duration, number, percent, plus_minus, significant

CSV_COLUMNS = ("r_nm", "pair", "g_atomistic", "stderr_atomistic", "g_cg", "stderr_cg")


def write_rdf_csv(path: Path, curves: Sequence[tuple[Rdf, Rdf]]) -> None:
    """Write g(r) of every pair, atomistic and coarse-grained, with standard errors; one row per bin."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for atomistic, cg in curves:
        columns = (atomistic.r, atomistic.g, atomistic.stderr, cg.g, cg.stderr)
        for r, *values in zip(*columns, strict=True):
            writer.writerow([f"{r:.4f}", atomistic.name, *(f"{value:.6g}" for value in values)])
    write_file(path, text.getvalue())


def write_report(
    run_dir: Path,
    summary: dict[str, Any],
    curves: Sequence[tuple[Rdf, Rdf]],
    metrics: Sequence[dict[str, float]],
    priors: Sequence[Any],
    config_yaml: str,
    log_tail: str = "",
    pictures: Mapping[str, Callable[[Theme], Figure | None]] = MappingProxyType({}),
) -> Path:
    """Write report.html and the pictures in it (rdf.png, ybg.png, history.png, prior.png) to a run folder; the page's path.

    Parts that the run does not have are left out of the page, which then says so.

    Args:
        run_dir: the run folder.
        summary: what summary.json holds; keys that are missing or None are shown as unknown.
        curves: g(r) of every pair, atomistic and coarse-grained; none without a simulation.
        metrics: rows of metrics.csv.
        priors: the prior potentials.
        config_yaml: the resolved configuration.
        log_tail: last lines of the log.
        pictures: more of them by name: dimers, coordination, pmf, kirkwood_buff.
    """
    drawings: dict[str, Callable[[Theme], Figure | None]] = {}
    if curves:
        drawings["rdf"] = lambda theme: plot_rdf(curves, theme)
    if residuals := ybg_curves(summary):
        drawings["ybg"] = lambda theme: plot_ybg(residuals, theme)
    if metrics:
        drawings["history"] = lambda theme: plot_history(metrics, theme)
    if priors:
        drawings["prior"] = lambda theme: plot_prior(priors, summary.get("temperature_K") or 300.0, theme)
    images = write_pictures(run_dir, drawings | dict(pictures))
    page = run_dir / "report.html"
    text = {"config_yaml": config_yaml, "log_tail": log_tail, "path": str(run_dir), "run_dir": shlex.quote(str(run_dir))}
    has_loss = any("loss" in row for row in metrics)
    write_file(page, render(summary, images, n_epochs=len(metrics), has_loss=has_loss, **text))
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
    loader = jinja2.FunctionLoader(lambda file: resources.files("cgnnp").joinpath(file).read_text("utf-8"))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=loader)
    filters = {"num": number, "significant": significant, "pm": plus_minus, "percent": percent, "duration": duration}
    environment.filters |= filters
    environment.tests["has_hole"] = has_hole
    environment.globals |= {"relative": relative, "peak_shift": peak_shift}
    environment.globals |= {
        "temperature_agrees": temperature_agrees,
        "thermostat": thermostat,
        "cg_thermostat": cg_thermostat,
    }
    environment.globals |= {"is_neutral": is_neutral, "has_hole": has_hole, "apart": apart}
    environment.globals |= {
        "agreement": agreement,
        "in_words": in_words,
        "levels": LEVELS,
        "at_infinite_dilution": at_infinite_dilution,
    }
    return environment.get_template(name)


def render(summary: dict[str, Any], images: dict[str, tuple[str, str]], **text: Any) -> str:
    """The page, from the summary and base64 pictures (light, dark)."""
    timings = {name: seconds for name, seconds in (summary.get("timings_s") or {}).items() if seconds}
    limits = {"d": GOOD_D, "height": PEAK_HEIGHT, "shift": PEAK_SHIFT_NM}
    limits |= {"p": LIKELY, "noise_factor": NOISE_FACTOR, "matters": MATTERS, "close": CLOSE}
    rdf, verdict = summary.get("rdf") or [], judge(summary)
    values = {"s": summary, "rdf": rdf, "images": images, "verdict": verdict, "timings": timings, "limits": limits}
    values["worst"] = worst_row(rdf)
    return page_template("report.html.j2").render(values, **text)


def ybg_curves(summary: dict[str, Any]) -> list[tuple[str, float, list[dict[str, Any]]]]:
    """Name, thermostat and rows of every g-YBG residual in a summary, for `plot_ybg`."""
    found = []
    for key, name in SIDES.items():
        rows = (summary.get(key.replace("t_conf", "ybg")) or {}).get("local")
        expected = thermostat(summary, key)
        if rows and expected:
            found.append((name, expected, rows))
    return found


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
