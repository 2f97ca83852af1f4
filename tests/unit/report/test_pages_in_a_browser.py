"""The pages as a reader sees them, in headless Chromium: three widths, dark and light, printed, read aloud."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright
from systems import charged_mapping, hard_gas, soft_spheres

from cgnnp.analysis.observables.choice import choice
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.diagnostics.force_errors import force_errors
from cgnnp.priors.pair_spline import PairSpline, PairTable
from cgnnp.report.page import write_report
from cgnnp.report.runs_page import write_runs_page
from cgnnp.report.summary import CheckFigures, DataFigures, FitFigures, JobFigures, RunFigures, Summary
from cgnnp.workflow.comparing import compare_sides
from cgnnp.workflow.sound_data import temperature_figures

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDED = os.environ.get("CGNNP_NEEDS_CHROMIUM") == "1"
"""CI installs it, and must not leave these tests out."""

pytestmark = pytest.mark.skipif(CHROMIUM is None and not NEEDED, reason="needs Chromium (Debian: apt-get install chromium)")

WIDTHS = (360, 800, 1400)
HISTORY = [
    {"epoch": k, "loss": 1.0 - 0.1 * k, "r2": 0.5 + 0.02 * k, "r2_prior": 0.5, "learning_rate": 0.01} for k in range(4)
]
FOUND = FitFigures(
    n_frames_train=90, n_frames_validation=10, n_parameters=5000, r2_prior=0.5, r2_model=0.56, r2_stderr=0.01, seed=0
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """A liquid, a salt, a fit that was not simulated, and several runs."""
    folder = tmp_path_factory.mktemp("pages")
    r = np.linspace(0.0, 0.6, 601)
    prior = PairSpline((PairTable(("A", "A"), 0.25, tuple((20 * (0.6 - r) ** 2).tolist())),), 0.6)
    spheres = soft_spheres(120, {"A": 16}, seed=3)
    errors = force_errors(spheres, 0.9 * np.asarray(spheres.forces))
    liquid = compare_sides(BothSides(spheres[:60], spheres[60:]), choice())
    ions = charged_mapping({"Na": 6, "Cl": 6}, {"Na": 1.0, "Cl": -1.0})
    salt = compare_sides(BothSides(*(hard_gas(60, 12, 1.3, diameter=0.3, seed=k, mapping=ions) for k in (1, 2))), choice())
    found = {}
    for name, comparison in (("liquid", liquid), ("salt", salt), ("fit", None)):
        job = JobFigures(
            run=f"a run with a rather long name, {name}", command=f"python -m cgnnp.train mapping={name}", cores=2
        )
        run = RunFigures() if comparison is None else RunFigures(cg_ns_per_day=600.0, cg_replicas=2, cg_length_ps=24.0)
        figures = [] if comparison is None else [comparison.figures]
        checks = CheckFigures(t_conf=temperature_figures(liquid["temperatures"].consistency))
        data = DataFigures(system=name, mapping=name, temperature_K=300.0, n_frames=100)
        summary = Summary.of(job, data, checks, FOUND, run, *figures)
        found[name] = write_report(
            folder,
            summary,
            name=f"{name}.html",
            metrics=HISTORY,
            priors=[prior],
            errors=errors,
            sections=() if comparison is None else comparison.sections(),
            config_yaml="seed: 0\n" * 60,
            log_tail="a line of the log that is longer than any screen is wide " * 5,
        )
    found["runs"] = write_runs_page(folder / "runs.html", "2 runs", liquid.sections(), ["runs/a", "runs/b"])
    return found


@pytest.fixture(scope="module")
def browser():
    """One for all pages."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize("name", ["liquid", "salt", "fit", "runs"])
def test_pages_fit_three_widths_and_say_nothing_wrong(pages, browser, name):
    """No part is wider than the page, no picture is empty, nothing is logged, and all panels have one size."""
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url[:80]))
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(pages[name].as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
        sizes = page.evaluate("[...document.images].map(image => [image.naturalWidth, image.clientWidth])")
        assert all(natural > 300 and shown > 0.75 * min(width, 400) for natural, shown in sizes), (name, width, sizes)
        assert len({shown for _, shown in sizes}) == 1, (name, width, sizes)
        letters = "[...document.querySelectorAll('p, td, th, li')].map(e => parseFloat(getComputedStyle(e).fontSize))"
        assert min(page.evaluate(letters)) >= 12
    assert said == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["liquid", "salt", "fit", "runs"])
def test_pages_are_accessible(pages, browser, name, scheme):
    """What axe finds: contrast, texts in place of pictures, order of headings, tables with heads, areas one can scroll."""
    page = browser.new_page(color_scheme=scheme, viewport={"width": 800, "height": 900})
    page.goto(pages[name].as_uri())
    assert _background(page) == {"light": "rgb(244, 245, 248)", "dark": "rgb(15, 20, 27)"}[scheme]
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
    page.close()


@pytest.mark.parametrize("name", ["liquid", "salt"])
def test_pages_are_printed_whole(pages, browser, name, tmp_path):
    """Nothing is cut off at the right of a sheet of paper, dark screens print light, and no picture is torn in two."""
    page = browser.new_page(color_scheme="dark", viewport={"width": 718, "height": 1000})  # A4 with margins
    page.goto(pages[name].as_uri())
    page.emulate_media(media="print")
    assert _background(page) in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)")
    cut = page.evaluate(
        "[...document.querySelectorAll('.scroll, pre')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    )
    assert cut == 0
    assert page.evaluate("[...document.images].every(image => getComputedStyle(image).breakInside == 'avoid')")
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").read_bytes().count(b"/Type /Page\n") >= 2
    page.close()


def _background(page: Page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")
