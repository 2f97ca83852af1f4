"""Sentences on how runs differ: what is significant, what lies within the noise, and the spread of seeds."""

from cgnnp.analysis.agreement import Agreement, Judgement
from cgnnp.workflow.run_differences import difference_sentences


def row(label: str, gain=None, stderr=None, r2=0.5, judgements=()):
    stored = [one.to_dict() for one in judgements]
    return {"label": label, "r2_common": r2, "r2_less_first": gain, "r2_less_first_stderr": stderr, "judgements": stored}


def rdf(deviation: float, noise: float) -> Judgement:
    return Judgement("g(r) of W-W", Agreement.CLOSE, deviation, noise)


def test_a_difference_of_two_errors_is_the_limit():
    rows = [row("a"), row("b", -0.0023, 0.0014), row("c", 0.0031, 0.0014)]
    assert difference_sentences(rows, ["model.l_max"]) == [
        "b compared with a: R² is lower by 0.0023 ± 0.0014 (1.6 standard errors: not significant).",
        "c compared with a: R² is higher by 0.0031 ± 0.0014 (2.2 standard errors: significant).",
    ]


def test_structure_is_judged_by_the_noise_of_both():
    rows = [row(name, judgements=[rdf(*d)]) for name, d in {"a": (0.05, 0.03), "b": (0.08, 0.03), "c": (0.2, 0.01)}.items()]
    near, far = difference_sentences(rows, ["model"])
    assert near.endswith("g(r) of W-W deviates by 8.0 % instead of 5.0 %, a difference within the noise of both.")
    assert far.endswith("g(r) of W-W deviates by 20 % instead of 5.0 %, more than the noise of both.")


def test_runs_without_anything_in_common_say_so():
    assert difference_sentences([row("a"), row("b")], ["model"])[0].endswith("neither R² nor structure can be compared.")


def test_runs_of_several_seeds_have_a_spread():
    rows = [row("0", r2=0.50), row("1", 0.02, 0.01, r2=0.52), row("2", 0.04, 0.01, r2=0.54)]
    assert difference_sentences(rows, ["seed"])[-1].endswith("the standard deviation of R² is 0.0200.")
    assert "three runs or more" in difference_sentences(rows[:2], ["seed"])[-1]
    assert len(difference_sentences(rows, ["seed", "model.l_max"])) == 2
