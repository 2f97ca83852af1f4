"""The report: complete, self-contained, honest, and whole when parts of a run are missing."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cgnnp.analysis.agreement import Agreement, Judgement
from cgnnp.analysis.dimer import DimerScan, IsolatedDimer
from cgnnp.analysis.figures_fit import plot_history, plot_prior
from cgnnp.analysis.figures_ybg import plot_ybg
from cgnnp.analysis.observables.dimers import DimersFinding
from cgnnp.analysis.observables.rdf import RdfFinding, plot_rdf
from cgnnp.analysis.rdf import Rdf
from cgnnp.analysis.section import Picture, Section, Table, Toned
from cgnnp.diagnostics.configurational_temperature import ConfigurationalTemperature
from cgnnp.priors.pair_spline import PairSpline, PairTable
from cgnnp.report import judgement, page
from cgnnp.report.judgement import Verdict, temperature_word
from cgnnp.report.summary import Summary, TemperatureFigures

CONFIG = "mapping:\n  name: water_cg\nseed: 7\n"


def judge(summary: dict) -> Verdict:
    return judgement.judge(Summary.from_dict(summary))


def render(summary: dict, sections=(), images=None) -> str:
    return page.render(Summary.from_dict(summary), images or {}, sections)


def write_report(folder, summary: dict, curves, metrics, priors, config="", log_tail="", sections=()) -> Path:
    """Of entries of summary.json, with the section of g(r)."""
    shown = [*([RdfFinding(tuple(curves)).section()] if curves else []), *sections]
    parts = {"metrics": metrics, "priors": priors, "config_yaml": config, "log_tail": log_tail}
    found, typed = Summary.from_dict(summary), [("The whole run", summary["command"])] if summary.get("command") else []
    parts |= {"commands": typed, "potential": f"{folder}/potential"}
    return page.write_report(folder, found, sections=shown, picture_files=True, **parts)


def curve(pair=("W", "W"), shift=0.0) -> Rdf:
    r = np.arange(0.001, 0.9, 0.002)
    g = (r > 0.2) * (1 + 2 * np.exp(-(((r - 0.28 - shift) / 0.02) ** 2)))
    return Rdf(pair, r, g, np.full_like(r, 0.01), (g, g))


@pytest.fixture
def curves():
    return [(curve(), curve(shift=0.001))]


@pytest.fixture
def metrics():
    rows = ((0, 1.31, 152.5, 0.6208, 0.5668, 0.01, 24.0), (1, 0.83, 150.2, 0.6322, 0.5668, 0.0001, 25.0))
    columns = ("epoch", "loss", "force_rmse_kJ_mol_nm", "r2", "r2_prior", "learning_rate", "seconds")
    return [dict(zip(columns, row, strict=True)) for row in rows]


@pytest.fixture
def priors():
    r = np.linspace(0.0, 0.9, 901)
    return [PairSpline((PairTable(("W", "W"), 0.25, tuple((20 * (0.9 - r) ** 2).tolist())),), 0.9)]


@pytest.fixture
def summary():
    return {
        "run": "2025-11-21_0456_water_cg",
        "created": "2025-11-21T04:56:12",
        "mapping": "water_cg",
        "system": "water_spce",
        "temperature_K": 300.0,
        "n_frames_train": 1350,
        "n_frames_validation": 150,
        "force_rms_kJ_mol_nm": 247.7,
        "r2_prior": 0.5668,
        "r2_model": 0.6322,
        "r2_stderr": 0.0029,
        "r2_max": None,
        "r2_gain": 0.0653,
        "r2_gain_stderr": 0.0012,
        "r2_tau_frames": 0.5,
        "r2_reliable": True,
        "t_conf_K": 299.4,
        "t_conf_stderr_K": 1.1,
        "t_conf_reason": None,
        "t_conf_pair": "W-W",
        "t_conf_tau_frames": 0.83,
        "t_conf_reliable": True,
        "t_conf_pairs": [temperature_row("W-W", 299.4, 1.1)],
        "ybg": residual(0.93, 0.51, True),
        "t_conf_cg_pairs": [temperature_row("W-W", 302.2, 1.4)],
        "ybg_cg": residual(1.21, 0.27, True),
        "cg_temperature_K": 301.0,
        "cg_thermostat_K": 300.0,
        "t_conf_cg_K": 302.2,
        "t_conf_cg_stderr_K": 1.4,
        "t_conf_cg_reason": None,
        "t_conf_cg_tau_frames": 0.71,
        "t_conf_cg_reliable": True,
        "rdf": [
            {
                "pair": "W-W",
                "deviation": 0.0171,
                "deviation_noise": 0.0043,
                "deviation_noise_cg": 0.0062,
                "peak_r_nm_atomistic": 0.2783,
                "peak_r_nm_cg": 0.2792,
                "peak_g_atomistic": 2.883,
                "peak_g_cg": 2.831,
                "tau_frames_atomistic": 1.84,
                "tau_frames_cg": 2.63,
                "reliable_atomistic": True,
                "reliable_cg": True,
                **judged("agrees within errors", d=0.0171),
            }
        ],
        "cg_ns_per_day": 152.4,
        "atomistic_ns_per_day": 207.1,
        "independent_frames_per_s": {"atomistic": 0.652, "cg": 0.3354},
        "timings_s": {"sample": 271.0, "map": 1.2, "fit": 278.6, "export": 4.3, "simulate": 275.0, "compare": 3.1},
        "force_backend": "torch",
        "platform": "CPU",
        "versions": {"cgnnp": "0.1.0", "openmm": "8.5.2"},
        "potential": "potential",
        "certificate": {
            "mapping": "water_cg",
            "row_sum_error": 1.1e-16,
            "identity_error": 2.2e-16,
            "rigid_error": 0.0,
            "virtual_site_error": 0.0,
            "n_rigid_groups": 216,
            "n_virtual_sites": 0,
        },
        "n_parameters": 5312,
        "timestep_fs": 10.0,
        "cg_replicas": 2,
        "cg_length_ps": 240.0,
        "command": "python -m cgnnp.train mapping=water_cg",
    }


def temperature_row(pair: str, kelvin: float | None, stderr: float | None, reason: str | None = None) -> dict:
    agrees = None if kelvin is None else abs(kelvin - 300.0) < 8.0
    return {"pair": pair, "K": kelvin, "stderr_K": stderr, "reason": reason, "agrees": agrees}


def residual(chi2: float, p_value: float, agrees: bool, pairs: tuple[str, ...] = ("W-W",)) -> dict:
    """What a summary says of a g-YBG residual."""
    local = [
        {
            "pair": pair,
            "r_nm": r,
            "force_kJ_mol_nm": 0.4,
            "force_stderr_kJ_mol_nm": 0.5,
            "temperature_K": None if r > 0.4 else 301.0,
            "temperature_stderr_K": None if r > 0.4 else 4.0,
        }
        for pair in pairs
        for r in (0.3, 0.35, 0.45)
    ]
    return {"chi2_per_dof": chi2, "p_value": p_value, "dof": 12, "agrees": agrees, "reason": None, "local": local}


def text_of(page: str) -> str:
    """What a reader sees: no tags, no style, no pictures."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", re.sub(r"<style>.*?</style>", "", page, flags=re.S)))


def test_the_page_holds_the_numbers_of_the_summary(tmp_path, summary, curves, metrics, priors):
    before = json.dumps(summary)
    path = write_report(tmp_path, summary, curves, metrics, priors, CONFIG, "INFO the last line")
    text = text_of(path.read_text())
    assert path == tmp_path / "report.html"
    for value in ("1.7 %", "noise alone: 0.82 %", "0.2783", "0.2792", "2.88", "2.83", "−1.8 %", "+0.0009 nm"):
        assert value in text
    (row,) = RdfFinding(tuple(curves)).rows()
    for key, digits in (("deviation", 4), ("peak_r_nm_cg", 4), ("peak_g_atomistic", 3), ("peak_g_cg", 3)):
        assert f"{row[key]:.{digits}f}" in text
    for value in ("0.567 → 0.632", "0.0653 ± 0.0012", "0.6322 ± 0.0029", "299.4 ± 1.1 K", "302.2 ± 1.4 K", "300.0 K"):
        assert value in text
    for value in ("152 ns/day", "207 ns/day", "13 min 53 s", "4 min 39 s", "1,350", "1,500", "5,312", "216", "2.2e-16"):
        assert value in text
    for value in ("0.65 atomistic, 0.34 CG", "0.65 atomistic, 0.34 coarse-grained", "0.50 frames (atomistic) and 0.50"):
        assert value in text
    for value in (
        "0.0029, frames independent",
        "K (autocorrelation time 0.83 frames)",
        "run (autocorrelation time 0.71 frames)",
    ):
        assert value in text
    for value in ("python -m cgnnp.train mapping=water_cg", "8.5.2", "seed: 7", "INFO the last line", str(tmp_path)):
        assert value in text
    assert json.dumps(summary) == before


def test_the_page_needs_nothing_from_elsewhere(tmp_path, summary, curves, metrics, priors):
    page = write_report(tmp_path, summary, curves, metrics, priors, CONFIG).read_text()
    targets = re.findall(r'(?:src|srcset|href)="([^"]{0,40})', page)
    assert len(targets) == 2 * 4  # four pictures, each for light and for dark screens
    assert all(target.startswith("data:image/png;base64,") for target in targets)
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page


def test_pictures_are_written_and_nothing_temporary_is_left(tmp_path, summary, curves, metrics, priors):
    write_report(tmp_path, summary, curves, metrics, priors, CONFIG)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "history.png",
        "prior.png",
        "rdf.png",
        "report.html",
        "ybg.png",
    ]
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_a_run_without_a_simulation_gives_a_whole_page(tmp_path, summary, metrics, priors):
    gone = ("t_conf_K", "t_conf_stderr_K", "t_conf_cg_K", "t_conf_cg_stderr_K", "cg_ns_per_day", "cg_length_ps")
    summary |= {"rdf": [], "t_conf_reason": "too few pairs", "timings_s": {"fit": 278.6}} | dict.fromkeys(gone)
    page = write_report(tmp_path, summary, [], metrics, priors, CONFIG).read_text()
    text = text_of(page)
    assert not (tmp_path / "rdf.png").exists()
    assert "has not been compared" in text
    assert "too few pairs" in text
    assert "Nothing was simulated" in text
    assert f"cgnnp.simulate run={tmp_path}" in text
    assert "None" not in text


def test_speeds_have_the_machine_of_the_simulation_beside_them(tmp_path, summary, metrics, priors):
    """Not that of a later command, such as a comparison on another machine."""
    machine = {"cores": 64, "processor": "another one", "cg_cores": 2, "cg_processor": "Xeon 1", "platform": "CPU"}
    text = text_of(write_report(tmp_path, summary | machine, [], metrics, priors, CONFIG).read_text())
    assert "2 cores of Xeon 1, CPU" in text
    assert "another one" not in text


@pytest.mark.parametrize(("seconds", "said"), [(0.03, "existing data used"), (12.0, "12 s")])
def test_data_that_were_there_already_were_not_sampled_in_no_time(summary, seconds, said):
    text = text_of(render(summary | {"timings_s": {"sample": seconds, "fit": 278.6}}))
    assert f"Sample the atomistic system{said}" in text


def test_an_empty_summary_gives_a_page(tmp_path):
    text = text_of(write_report(tmp_path, {}, [], [], [], "").read_text())
    assert "Nothing has been compared" in text
    assert "None" not in text


def test_every_key_may_be_none(tmp_path, summary, curves, metrics, priors):
    text = text_of(write_report(tmp_path, dict.fromkeys(summary), curves, metrics, priors, CONFIG).read_text())
    assert "Nothing has been compared" in text


def test_every_key_may_be_none_on_its_own(tmp_path, summary, monkeypatch):
    monkeypatch.setattr("cgnnp.report.page.png", lambda figure: b"")  # which takes long, and knows no key
    for key in summary:
        write_report(tmp_path, summary | {key: None}, [], [], [], CONFIG)
    for key in summary["rdf"][0]:
        if key not in ("pair", "verdict", "residual"):
            write_report(tmp_path, summary | {"rdf": [summary["rdf"][0] | {key: None}]}, [], [], [], CONFIG)


def test_names_are_escaped(tmp_path, summary, curves, metrics, priors):
    evil = "<script>alert(1)</script>"
    summary |= {"run": evil, "mapping": evil, "system": evil, "command": evil, "t_conf_K": 400.0}
    summary["rdf"][0] |= {"pair": evil, "peak_g_cg": 9.0}
    summary["versions"] = {evil: evil}
    page = write_report(tmp_path, summary, curves, metrics, priors, evil, evil).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "T<sub>conf</sub> of the mapped data is 400.0" in page


def judged(verdict: str, d: float = 0.022, systematic: float = 0.0203) -> dict:
    """What a row of g(r) says of its residual."""
    shell = {"start_nm": 0.24, "end_nm": 0.34, "share_beyond_2": 0.72, "share_beyond_3": 0.41}
    shell |= {"largest_stderrs": 6.6, "largest_r_nm": 0.311}
    whole = {key: value for key, value in shell.items() if not key.endswith(("start_nm", "end_nm"))}
    found = {"chi2_per_dof": 14.3, "p_value": 0.0005, "dof": 18, "n_blocks_atomistic": 78, "n_blocks_cg": 46}
    found |= {"expected_deviation": 0.0082, "systematic_deviation": systematic, "shells": [shell, shell]}
    return {"deviation": d, "verdict": verdict, "residual": whole | found}


@pytest.mark.parametrize(
    ("verdict", "level", "words"),
    [
        ("agrees within errors", "good", "agrees with that of water_spce within errors"),
        ("close", "fair", "close to that of water_spce: systematic deviation of 2.0 %"),
        ("disagrees", "poor", "disagrees with that of water_spce: systematic deviation of 2.0 %"),
        ("too short to tell", "open", "The runs are too short to tell"),
    ],
)
def test_the_verdict_is_that_of_the_residual(summary, verdict, level, words):
    """D of 2.2 % with a residual beyond noise was green."""
    summary["rdf"][0] |= judged(verdict)
    found = judge(summary)
    assert (found.level, found.label) == (level, verdict)
    assert words in found.headline
    assert "D is 2.2 %, where noise alone would give about 0.82 %" in found.headline
    assert f'<span class="pill {level}">{verdict}</span>' in render(summary)


def noisy(first: Rdf, seed: int, change: float = 0.0) -> Rdf:
    """A curve of 40 Gaussian blocks about another one that is higher by a part of itself."""
    noise = np.random.default_rng(seed).normal(0.0, 0.05, (40, len(first.r))) * (first.g > 0)
    blocks = first.g * (1 + change) + noise
    mean, stderr = blocks.mean(axis=0), blocks.std(axis=0, ddof=1) / np.sqrt(40)
    return Rdf(first.pair, first.r, mean, stderr, (blocks[:20].mean(axis=0), blocks[20:].mean(axis=0)), 0.5, True, blocks)


def test_the_page_shows_the_residual_and_says_whose_thresholds_they_are(summary):
    """A curve that is 3 % higher everywhere, whose residual is beyond noise and close."""
    found = RdfFinding(((noisy(curve(), 1), noisy(curve(), 2, 0.03)),))
    row = found.rows()[0]
    text_of_row = found.judgements()[0].short
    shown = render(summary | {"rdf": [row]}, [found.section()])
    assert f'<b class="fair">{text_of_row.replace(" %", chr(160) + "%")}</b>' in shown
    assert '<div class="card missed"><div class="label">Deviation D of g(r)' in shown
    text = text_of(shown)
    residual = row["residual"]
    assert residual["p_value"] <= 0.0005
    share = f"{100 * residual['share_beyond_2']:.0f}"
    assert re.search(rf"\(p ≤ {residual['p_value']:.2g}\)\s*{share}\s%, ", text)
    assert re.search(rf"{residual['largest_stderrs']:.1f} at {residual['largest_r_nm']:.3f} nm", text)
    assert "The thresholds were chosen for cgnnp" in text
    assert "asked for" not in text


def test_the_worst_row_is_that_of_the_worst_word_and_then_the_largest_d(summary):
    row = summary["rdf"][0]
    close, same = row | judged("close"), row | judged("agrees within errors", d=0.9)
    opened = close | {"verdict": "too short to tell"}

    def worst(*rows):
        return judgement.worst_row(Summary.from_dict(summary | {"rdf": list(rows)}))

    assert worst(same, close) is close
    assert worst(same, close, opened) is opened
    assert worst(close | {"deviation": None}) is None
    assert worst() is None


@pytest.mark.parametrize(
    ("agreement", "words"),
    [
        (Agreement.CLOSE, "Tetrahedral order is close to the atomistic result: systematic deviation of 4.0 %."),
        (Agreement.DISAGREES, "Tetrahedral order disagrees with the atomistic result: systematic deviation of 4.0 %."),
        (Agreement.AGREES, None),
        (Agreement.OPEN, None),
    ],
)
def test_other_observables_that_are_off_are_concerns_and_take_the_green(summary, agreement, words):
    rows = [Judgement("g(r) of W-W", Agreement.DISAGREES, 0.5, 0.1).to_dict()]  # which its own row says
    rows.append(Judgement("tetrahedral order", agreement, 0.05, 0.03).to_dict())
    found = judge(summary | {"judgements": rows})
    assert found.concerns == ([words] if words else [])
    levels = {Agreement.CLOSE: "fair", Agreement.DISAGREES: "poor"}
    assert found.level == levels.get(agreement, "good")
    assert ("But tetrahedral order disagrees." in found.headline) is (agreement is Agreement.DISAGREES)
    assert ("So does tetrahedral order." in found.headline) is (agreement is Agreement.AGREES)


def test_many_quantities_are_plural(summary):
    one = Judgement("angles W-W-W", Agreement.CLOSE, 0.05, 0.03).to_dict()
    other = Judgement("neighbours W around W", Agreement.DISAGREES, 0.5, 0.0).to_dict()
    first, second = judge(summary | {"judgements": [one, other]}).concerns
    assert first == "Angles W-W-W are close to the atomistic result: systematic deviation of 4.0 %."
    assert second == "Neighbours W around W disagree with the atomistic result: systematic deviation of 50 %."


def test_sections_are_set_part_by_part_in_their_order(summary, tmp_path):
    """Sentences, tables whose numbers stand at the right, panels, notes; names are escaped, T_conf and `code` are set."""
    rows = ((Toned("T_conf of <i>", "poor"), "1.0", Toned("words", "")), ("B", "2.0 %", "so"))
    table = Table(("kind", "value", "said"), rows, words=("said",))
    draw = lambda theme: plot_rdf([[("atomistic", curve())]], theme)  # noqa: E731
    picture = Picture("mine", "alternative", "A caption with `code`.", draw, (draw, draw, draw))
    one = Section("T_conf & more", ("A sentence.", table, picture), ("A note.",))
    path = page.write_report(tmp_path, Summary.from_dict(summary), sections=[one, Section("Second", ("x",))])
    text = path.read_text()
    assert "<h2>T<sub>conf</sub> &amp; more</h2>" in text
    places = [text.index(part) for part in ("<p>A sentence.</p>", "T<sub>conf</sub> of &lt;i&gt;", '<figure class="panels"')]
    assert places == sorted(places)
    assert '<b class="poor">T<sub>conf</sub> of &lt;i&gt;</b>' in text
    assert '<td class="n" data-label="value">1.0</td><td data-label="said">words</td>' in text
    assert text.count('alt="alternative') == 3
    assert "A caption with <code>code</code>." in text
    assert '<p class="muted">A note.</p>' in text
    assert text.index("more</h2>") < text.index("<h2>Second</h2>")
    assert not (tmp_path / "mine.png").exists()  # pictures beside the page are asked for
    (drawn,) = {(image.width, image.height) for image in page.panels_of(picture)}
    assert drawn[0] > 400


def test_pictures_with_nothing_to_draw_are_left_out(summary, tmp_path):
    nothing = Picture("nothing", "not there", "", lambda theme: None)
    text = page.write_report(tmp_path, Summary.from_dict(summary), sections=[Section("S", (nothing,))]).read_text()
    assert "not there" not in text
    assert page.panels_of(nothing) == []


def test_the_worst_verdict_counts_and_not_the_largest_d(summary):
    row = summary["rdf"][0]
    summary["rdf"] = [row | judged("agrees within errors", d=0.029), row | judged("close") | {"pair": "Na-Cl"}]
    found = judge(summary)
    assert found.level == "fair"
    assert "D of the worst of 2 pairs, Na-Cl, is 2.2 %" in found.headline
    assert "(worst: Na-Cl)" in render(summary)


def test_a_concern_takes_the_green_from_agreement(summary):
    summary["rdf"][0] |= judged("agrees within errors") | {"peak_g_cg": 3.2}
    found = judge(summary)
    assert (found.level, found.label) == ("fair", "look closer")


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("not tested", "could not test everything: a slab; no forces."), ("disagrees", "disagrees: a slab")],
)
def test_data_that_are_not_tested_or_disagree_are_a_concern_and_never_green(summary, verdict, words):
    summary["rdf"][0] |= judged("agrees within errors")
    summary["data_check"] = {"verdict": verdict, "reasons": ["a slab.", "no forces"]}
    found = judge(summary)
    (concern,) = found.concerns
    assert words in concern
    assert found.level == "fair"
    summary["data_check"] = {"verdict": "agrees", "reasons": []}
    assert judge(summary).level == "good"


@pytest.mark.parametrize(
    ("verdict", "changes", "reason"),
    [
        ("not tested", {"t_conf_K": None, "t_conf_reason": "too few pairs"}, "T_conf: too few pairs"),
        ("disagrees", {"t_conf_K": 315.04}, "T_conf W-W, 0.250-0.900 nm: 315.0(1.1) K, but the thermostat is at 300 K"),
        (
            "disagrees",
            {"ybg": {"agrees": False, "chi2_per_dof": 9.254, "dof": 12}},
            "g-YBG residual: chi2/dof 9.25 of 12 functions",
        ),
    ],
)
def test_one_fact_is_one_concern(summary, verdict, changes, reason):
    summary |= changes
    (alone,) = judge(summary).concerns
    assert judge(summary | {"data_check": {"verdict": verdict, "reasons": [reason]}}).concerns == [alone]
    for other in ("box: a slab", "T_conf Na-Cl, 0.250-0.900 nm: 340.0(9.1) K, but the thermostat is at 300 K"):
        first, second = judge(summary | {"data_check": {"verdict": verdict, "reasons": [reason, other]}}).concerns
        assert first == alone
        assert second.endswith(f": {other}.")


def test_a_reason_that_nothing_else_says_stays(summary):
    """Before the fit, a T_conf without a value is no concern of its own."""
    early = {"rdf": [], "r2_model": None, "t_conf_K": None, "t_conf_reason": "too few pairs"}
    check = {"verdict": "not tested", "reasons": ["T_conf: too few pairs"]}
    (concern,) = judge(summary | early | {"data_check": check}).concerns
    assert concern.endswith("could not test everything: T_conf: too few pairs.")


def test_the_page_states_the_thermostat_and_not_the_measured_temperature(summary):
    changes = {"cg_temperature_K": 300.123456, "cg_temperature_stderr_K": 1.0, "cg_thermostat_K": 298.15}
    text = " ".join(text_of(render(summary | changes)).split())
    assert "in 2 replicas at 298.15 K" in text
    assert "300.123" not in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"t_conf_K": 315.0}, "the force map may be wrong"),
        ({"t_conf_cg_K": 330.0}, "time step"),
        ({"t_conf_cg_K": 330.0, "cg_temperature_K": None}, "at a thermostat of 300 K: the time step"),
        ({"cg_thermostat_K": 302.0}, "coarse-grained run is at 302 K, the data at 300 K: a potential of mean force"),
        (
            {"cg_temperature_K": 310.0, "cg_temperature_stderr_K": 1.0, "cg_thermostat_K": 300.0},
            "kinetic temperature of the coarse-grained run is 310.0 ± 1.0 K at a thermostat of 300 K: the time step",
        ),
        ({"t_conf_K": None, "t_conf_reason": "too few pairs"}, "T_conf of the mapped data has no value: too few pairs."),
        ({"t_conf_cg_K": None, "t_conf_cg_reason": "a short run"}, "coarse-grained run has no value: a short run."),
        (
            {"r2_model": 0.55},
            "R² of the held-out forces is 0.550 with the network and 0.567 without it (change −0.0168 ± 0.0012",
        ),
        ({"r2_reliable": False}, "The error of R² is not reliable: the held-out part of the atomistic run is too short"),
        ({"t_conf_reliable": False}, "error of T_conf of the mapped data is not reliable: the atomistic run is too short"),
        ({"t_conf_cg_reliable": False}, "T_conf of the coarse-grained run is not reliable: the coarse-grained run is too"),
        (
            {"rdf": {"reliable_atomistic": False}},
            "error of g(r) (W-W) is not reliable: the atomistic run is too short for it.",
        ),
        (
            {"rdf": {"reliable_cg": False}},
            "error of g(r) (W-W) is not reliable: the coarse-grained run is too short for it.",
        ),
        ({"rdf": {"peak_g_cg": 3.2}}, "height of the first W-W peak is +11.0 %"),
        ({"rdf": {"peak_r_nm_cg": 0.27}}, "is −0.0083 nm off"),
    ],
)
def test_what_is_wrong_is_said_and_lowers_the_verdict(summary, changes, words):
    summary["rdf"][0] |= changes.pop("rdf", {})
    found = judge(summary | changes)
    assert found.level == "fair"
    assert len(found.concerns) == 1
    assert words in found.concerns[0]


def test_a_temperature_within_its_error_is_no_concern(summary):
    assert not judge(summary | {"t_conf_K": 312.0, "t_conf_stderr_K": 3.7}).concerns


@pytest.mark.parametrize("key", ["t_conf", "t_conf_cg"])
def test_a_temperature_with_a_large_error_is_too_short_to_tell(summary, key):
    """318.0 ± 8.7 K was green. The unreliable error of the same temperature is no second concern."""
    changes = {f"{key}_K": 318.0, f"{key}_stderr_K": 8.7, f"{key}_reliable": False}
    (concern,) = judge(summary | changes).concerns
    assert "318.0 ± 8.7 K at a thermostat of 300 K: the run is too short to tell" in concern
    assert "within 7.5 %" in concern
    assert "thermostat 300.0 K: too short to tell" in text_of(render(summary | changes))
    reason = (
        "T_conf W-W, 0.250-0.650 nm: 318.0(8.7) K: the run is too short to tell whether it is that of the thermostat (300 K)"
    )
    check = {"verdict": "not tested", "reasons": [reason]}
    assert len(judge(summary | changes | {"data_check": check}).concerns) == (1 if key == "t_conf" else 2)


@pytest.mark.parametrize(
    ("r2", "rising"), [((0.62, 0.6232), True), ((0.62, 0.6211), False), ((0.63, 0.62), False), ((0.62,), False), ((), False)]
)
def test_a_fit_that_was_still_rising_is_a_concern(summary, r2, rising):
    """Compared with the error of the gain, 0.0012."""
    metrics = [{"epoch": k, "r2": value} for k, value in enumerate(r2)]
    found = judgement.judge(Summary.from_dict(summary), metrics).concerns
    assert found == (
        ["R² was still rising at the last of 2 epochs, by 0.0032: raise trainer.max_epochs to see how far it rises."]
        if rising
        else []
    )
    text = text_of(page.render(Summary.from_dict(summary), {}, (), metrics))
    assert ("raise trainer.max_epochs" in text) is rising


@pytest.mark.parametrize(
    ("verdict", "start", "end"),
    [
        ("agrees within errors", "The g(r) of", "But angles W-W-W disagree."),
        ("disagrees", "The g(r) of", "So do angles W-W-W."),
        ("too short to tell", "Angles W-W-W disagree with water_spce. The runs are too short to tell", "about 0.82 %."),
    ],
)
def test_the_headline_of_angles_that_disagree(summary, verdict, start, end):
    """The badge is red, so what is red comes first; D has its range."""
    summary["rdf"][0] |= judged(verdict) | {"r_max_nm": 0.9}
    rows = [Judgement("angles W-W-W", Agreement.DISAGREES, 0.5, 0.1).to_dict()]
    found = judge(summary | {"judgements": rows})
    assert (found.level, found.label) == ("poor", "disagrees")
    assert found.headline.startswith(start)
    assert found.headline.endswith(end)
    assert "D up to 0.90 nm is 2.2 %" in found.headline


def test_an_unknown_speed_has_its_reason(summary):
    summary["independent_frames_per_s"] = {"atomistic": None, "cg": 35.0}
    text = text_of(render(summary))
    assert "independent frames/s: unknown atomistic, 35 CG (the data record no speed of the atomistic simulation)" in text


@pytest.mark.parametrize(
    ("off", "stderr", "word"),
    [
        (5.9, 0.1, "agrees"),
        (6.1, 0.1, "disagrees"),
        (11.9, 3.0, "agrees"),
        (12.1, 3.0, "disagrees"),
        (0.7, 3.7, "agrees"),
        (-0.4, 3.8, "agrees"),
        (0.0, 15.1, "too short to tell"),
        (18.0, 8.7, "too short to tell"),
        (0.0, None, "too short to tell"),
    ],
)
def test_the_words_of_a_temperature_are_the_same_everywhere(off, stderr, word):
    """Of 300 K: the word of the page is that of the check and of the log."""
    assert temperature_word(300.0 + off, stderr, 300.0) == word
    found = ConfigurationalTemperature((("W", "W"),), 0.25, 0.9, 300.0 + off, stderr)
    assert found.agrees(300.0) == {"agrees": True, "disagrees": False}.get(word)
    if stderr is not None:
        assert word in found.compared(300.0)
    assert temperature_word(None, None, 300.0) is None


def test_a_run_at_another_temperature_is_judged_by_its_own_thermostat(tmp_path, summary):
    summary |= {"cg_thermostat_K": 350.0, "cg_temperature_K": 350.5, "t_conf_cg_K": 351.0}
    text = text_of(write_report(tmp_path, summary, [], [], [], CONFIG).read_text())
    (concern,) = judge(summary).concerns
    assert concern.startswith("The coarse-grained run is at 350 K, the data at 300 K: a potential of mean force")
    wrong, _ = judge(summary | {"t_conf_cg_K": 302.2}).concerns
    assert "coarse-grained run is 302.2 ± 1.4 K at a thermostat of 350 K" in wrong
    assert "351.0 ± 1.4 Kthermostat 350.0 K" in text
    assert "299.4 ± 1.1 Kthermostat 300.0 K" in text


@pytest.mark.parametrize(("value", "stderr"), [(308.0, 0.5), (311.0, 3.0), (None, None)])
def test_a_kinetic_temperature_within_3_per_cent_or_4_standard_errors_is_no_concern(summary, value, stderr):
    changes = {"cg_temperature_K": value, "cg_temperature_stderr_K": stderr, "cg_thermostat_K": 300.0}
    assert not judge(summary | changes).concerns


def test_a_temperature_that_was_not_computed_is_no_concern(summary):
    """A run that is not finished, a simulation without a run, a comparison by other observables."""
    gone = {"t_conf_K": None, "t_conf_cg_K": None}
    for more in ({}, {"rdf": []}, {"rdf": [], "r2_model": None}):
        assert not judge(summary | gone | more).concerns


def test_the_page_has_the_date_of_the_comparison(summary):
    made = {"created": "2026-03-04T05:06:07", "settings": {"observables": None}}
    assert "· compared 2026-03-04 05:06</div>" in render(summary | {"comparison": made}, [])
    assert "· compared" not in render(summary, [])


def test_pairs_whose_errors_are_not_reliable_are_named_together(summary):
    row = summary["rdf"][0] | {"reliable_cg": False}
    summary["rdf"] = [row, row | {"pair": "Na-Cl"}, row | {"pair": "Na-Na", "reliable_cg": True}]
    assert [text.split(" is")[0] for text in judge(summary).concerns] == ["The error of g(r) (W-W, Na-Cl)"]


def test_figures_have_units_on_their_axes(metrics, priors):
    labels = [
        axis.get_label_text()
        for figure in (
            plot_rdf([[("atomistic", curve()), ("CG", curve())]] * 3),
            plot_prior(priors, 300.0),
            plot_history(metrics),
        )
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
    ]
    assert labels.count("r (nm)") == 4
    assert "energy of the prior (kJ/mol)" in labels
    assert "epoch" in labels
    assert "training loss" in labels


def test_the_loss_is_drawn_and_named_where_there_is_one(tmp_path, summary, metrics):
    assert "1 for a network that predicts zero forces" in text_of(
        write_report(tmp_path, summary, [], metrics, [], "").read_text()
    )
    right = plot_history(metrics).axes[-1]
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [1.31, 0.83])
    without = [{key: value for key, value in row.items() if key != "loss"} for row in metrics]
    assert len(plot_history(without).axes) == 2
    assert "training loss" not in write_report(tmp_path, summary, [], without, [], "").read_text()


def test_a_fit_that_diverged_can_be_drawn(tmp_path, metrics):
    metrics[-1] |= {"loss": float("nan"), "r2": float("nan"), "learning_rate": 0.0}
    write_report(tmp_path, {}, [], metrics, [], "")
    write_report(tmp_path, {}, [], metrics[-1:], [], "")


def test_r2_is_shown_against_its_ceiling(summary):
    known = {"r2_max": 0.7204, "r2_max_stderr": 0.013, "r2_over_r2_max": 0.878, "r2_over_r2_max_stderr": 0.021}
    error = {"pmf_error_kJ_mol_nm": 14.25, "pmf_error_stderr_kJ_mol_nm": 0.61, "pmf_error_relative": 0.0342}
    page = render({**summary, **known, **error, "pmf_error_relative_stderr": 0.004, "n_second_draws": 37})
    assert "The model is fitted to instantaneous forces" in page
    assert "R²<sub>max</sub> = 0.720 ± 0.013" in page
    assert "R² / R²<sub>max</sub> = 0.88 ± 0.02" in page
    assert "14.25 ± 0.61 kJ/mol/nm" in page
    assert "3.4 ± 0.4 % of the variance of the mean force. Both are computed on 37 held-out frames" in page
    unknown = render(summary)
    assert "the largest possible R² is not known" in unknown
    assert "With the noise removed" not in unknown


def test_averaged_forces_are_called_that_and_drifts_are_a_concern(summary):
    averaged = {"averaging_ps": 1.0, "r2_max": 0.17, "r2_instantaneous": 0.0181, "r2_max_instantaneous": 0.0204}
    drifting = {"label_drift": -0.12, "label_drift_stderr": 0.02}
    page = render({**summary, **averaged})
    assert "forces averaged over 1 ps with the beads held still" in page
    assert "Against instantaneous forces its R² is 0.0181, and the best that can be reached is 0.0204." in page
    assert not judge({**summary, **averaged, "label_drift": 0.03, "label_drift_stderr": 0.01}).concerns
    (concern,) = judge({**summary, **averaged, **drifting}).concerns
    assert "change by \N{MINUS SIGN}12.0 ± 2.0 % between the halves" in concern


def test_the_page_has_both_tests_of_both_sides_and_their_picture(tmp_path, summary, curves):
    page = write_report(tmp_path, summary, curves, [], [], CONFIG).read_text()
    text = text_of(page)
    assert "0.93 of 12 (p = 0.51)" in text
    assert "1.21 of 12 (p = 0.27)" in text
    assert "all pairs" not in text
    assert (tmp_path / "ybg.png").read_bytes().startswith(b"\x89PNG")
    assert 'class="poor"' not in page


def test_every_kind_of_pair_has_a_row_and_those_without_a_value_their_reason(tmp_path, summary, curves):
    rows = [temperature_row("Na-Cl", 299.0, 2.0), temperature_row("Na-Na", None, None, "few of them")]
    summary |= {"t_conf_pairs": rows, "t_conf_cg_pairs": [temperature_row("Na-Cl", 340.0, 3.0)]}
    page = write_report(tmp_path, summary, curves, [], [], CONFIG).read_text()
    text = text_of(page)
    assert re.search(r"Na-Cl\s*299\.0 ± 2\.0 K\s*340\.0 ± 3\.0 K", text)
    assert re.search(r"Na-Na\s*few of them\s*–", text)
    assert re.search(r"all pairs\s*299\.4 ± 1\.1 K\s*302\.2 ± 1\.4 K", text)
    assert page.count('class="poor"') == 1


@pytest.mark.parametrize(("key", "side"), [("ybg", "mapped data"), ("ybg_cg", "coarse-grained run")])
def test_a_residual_beyond_noise_is_a_concern(summary, key, side):
    (concern,) = judge(summary | {key: residual(7.31, 1e-12, False)}).concerns
    assert f"g-YBG residual of the {side} is larger than its noise (χ² per function 7.3 instead of about 1)" in concern


def test_summaries_of_older_runs_make_pages_without_the_tests_by_pair(tmp_path, summary, curves):
    for key in ("t_conf_pairs", "t_conf_cg_pairs", "ybg", "ybg_cg"):
        del summary[key]
    text = text_of(write_report(tmp_path, summary, curves, [], [], CONFIG).read_text())
    assert "g-YBG" not in text
    assert "299.4 ± 1.1 K" in text
    assert not (tmp_path / "ybg.png").exists()


def test_pictures_of_many_kinds_show_those_that_are_farthest_off(summary):
    many = residual(1.0, 0.5, True, tuple(f"A-{k}" for k in range(9)))
    for row in many["local"]:
        if row["pair"] in ("A-0", "A-7"):
            row["force_kJ_mol_nm"] = 5.0
    figure = plot_ybg(page.ybg_curves([(TemperatureFigures(ybg=many), "mapped data", 300.0)]))
    titles = [axes.get_title(loc="left").split()[0] for axes in figure.axes if axes.get_title(loc="left")]
    assert len(titles) == 6
    assert {"A-0", "A-7"} <= set(titles)


def sides_of(key: str, atomistic: tuple, cg: tuple) -> dict:
    """A figure and its error on both sides, as in a summary."""
    names = [f"{key}{kind}_{side}" for side in ("atomistic", "cg") for kind in ("", "_stderr")]
    return dict(zip(names, (*atomistic, *cg), strict=True))


@pytest.fixture
def salt(summary):
    """The summary of a run with ions; the row of g(r) is that of Na-Cl."""
    summary["rdf"][0]["pair"] = "Na-Cl"
    dimer = {
        **{"pair": "Na-Cl", "first_sampled_nm": 0.26, "wall_rise_kT": 41.9, "wall_monotonic": True},
        **{"lowest_inside_nm": 0.21, "lowest_inside_kT": 42.3, "contact_nm": 0.289, "contact_kT": -3.55},
        **{"barrier_nm": 0.369, "barrier_kT": 0.13, "separated_nm": None, "separated_kT": None, "barrier_out_kT": 3.68},
    }
    integrals = {
        "electroneutrality": [{"type": "Na", **sides_of("sum", (1.007, 0.011), (0.957, 0.005))}],
        **{"reliable_atomistic": True, "reliable_cg": True},
    }
    return summary | {"dimers": [dimer], "observables": {"kirkwood_buff": integrals}, "eps_r": 71.0}


SETS = [
    {"data": "data/4M", "n_frames": 1500, "n_beads": 128, "t_conf_K": 299.4, "t_conf_stderr_K": 1.1},
    {"data": "data/1M", "n_frames": 700, "n_beads": 40, "t_conf_K": 301.0, "t_conf_stderr_K": 3.0},
]


def test_a_fit_of_several_data_sets_says_which_is_which(summary):
    rows = [row | {"r2_prior": 0.5, "r2_model": 0.6 + k / 10, "r2_stderr": 0.004} for k, row in enumerate(SETS)]
    known = {"data_sets": rows, "more_data": {"data/1M": "abc"}, "n_frames_train": 1980, "n_frames_validation": 220}
    text = text_of(render(summary | known))
    assert "water_spce at 300 K (1,500 frames) and 1 further data set, fitted together: 2,200 frames" in text
    assert "the last 220 (those of each set) held out" in text
    assert re.search(r"data/1M\s*700\s*40\s*301\.0 ± 3\.0\s*0\.5000\s*0\.7000 ± 0\.0040", text)
    assert "The coarse-grained run has the beads and the box of the first data set" in text
    assert "of the beads and the box of the first data set" in text


def test_further_data_sets_of_which_only_the_paths_are_known(summary):
    text = text_of(render(summary | {"more_data": {"a": "1", "b": "2"}}))
    assert "water_spce at 300 K and 2 further data sets, fitted together: 1,500 frames" in text
    assert "data set of this fit" not in text
    alone = text_of(render(summary | {"data_sets": SETS[:1], "more_data": {}}))
    assert "water_spce at 300 K: 1,500 frames" in alone
    assert "data set" not in alone


@pytest.mark.parametrize(("kelvin", "concern"), [(301.0, False), (325.0, True)])
def test_a_further_data_set_with_another_temperature_than_its_thermostat_is_a_concern(summary, kelvin, concern):
    rows = [SETS[0], SETS[1] | {"t_conf_K": kelvin}]
    found = judge(summary | {"data_sets": rows}).concerns
    assert ["T_conf of the data set data/1M is 325.0 ± 3.0 K" in text for text in found] == [True] * concern


@pytest.mark.parametrize(("off", "concern"), [(0.05, False), (0.5, True)])
def test_temperatures_within_a_tenth_of_a_kelvin_are_the_same(summary, off, concern):
    assert (
        any("is an extrapolation" in text for text in judge(summary | {"cg_thermostat_K": 300.0 + off}).concerns) is concern
    )


def test_a_salt_that_is_sound_has_no_concerns(salt):
    assert not judge(salt).concerns


@pytest.mark.parametrize(
    ("value", "stderr", "concern"),
    [(1.049, 0.001, False), (1.07, 0.03, False), (1.07, 0.02, True), (0.93, 0.02, True), (1.07, None, False)],
)
def test_charges_that_do_not_add_up_are_a_concern(salt, value, stderr, concern):
    """Off by more than both 0.05 and three standard errors."""
    salt["observables"]["kirkwood_buff"]["electroneutrality"][0] |= {"sum_cg": value, "sum_stderr_cg": stderr}
    found = judge(salt).concerns
    assert [text.split(" is")[0] for text in found] == ["In the coarse-grained run, the charge around Na"] * concern
    assert ("Electroneutrality demands 1 for any model" in "".join(found)) is concern


@pytest.mark.parametrize(("lowest", "concern"), [(5.1, False), (4.9, True), (-480.0, True)])
def test_a_hole_inside_the_wall_is_a_concern(salt, lowest, concern):
    salt["dimers"][0]["lowest_inside_kT"] = lowest
    assert ["may collapse" in text for text in judge(salt).concerns] == [True] * concern


def test_integrals_of_runs_that_are_too_short_are_named(salt):
    salt["observables"]["kirkwood_buff"]["reliable_cg"] = False
    (concern,) = judge(salt).concerns
    expected = "The error of the Kirkwood-Buff integrals is not reliable: the coarse-grained run is too short for it."
    assert concern == expected


def test_pictures_of_ions_are_written_and_shown(tmp_path, salt):
    scan = DimerScan(("Na", "Cl"), np.linspace(0.2, 1.0, 60), np.linspace(5.0, 0.0, 60), np.zeros(60), 0.0)
    found = DimersFinding((IsolatedDimer(scan, None, 300.0),), True)
    page = write_report(tmp_path, salt, [], [], [], CONFIG, sections=[found.section()]).read_text()
    assert (tmp_path / "dimers.png").read_bytes().startswith(b"\x89PNG")
    assert 'alt="Energy of isolated dimers against their distance"' in page


@pytest.mark.parametrize(
    ("eps_r", "kinds", "words"),
    [
        (None, ["pair_spline"], "Pair splines, then a network"),
        (72.0, ["screened_coulomb", "pair_spline"], " 72) and pair splines, then a network"),
        (None, [], "No prior, then a network"),
        (72.0, ["screened_coulomb"], " 72), then a network"),
        (None, ["soft_repulsion"], "Soft repulsion, then a network"),
        (
            72.0,
            ["screened_coulomb", "soft_repulsion", "pair_spline"],
            " 72), pair splines and soft repulsion, then",
        ),
    ],
)
def test_the_priors_are_called_what_they_are(tmp_path, summary, eps_r, kinds, words):
    priors = [SimpleNamespace(kind=kind, tables=(), cutoff_nm=1.0) for kind in kinds]
    folder = page.write_report(tmp_path, Summary.from_dict(summary | {"eps_r": eps_r}), priors=priors)
    assert words in text_of(folder.read_text())
