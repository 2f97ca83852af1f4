"""The thresholds of the four words, of curves and of numbers, and which judgement is the worst."""

import json

import pytest

from cgnnp.analysis.agreement import (
    CLEAR,
    CLOSE,
    LEVELS,
    LIKELY,
    MATTERS,
    NOISE_FACTOR,
    SEVERITY,
    Agreement,
    Judgement,
    agreement_of,
    systematic,
    worst_of,
)


@pytest.mark.parametrize(
    ("deviation", "noise", "p_value", "expected"),
    [
        (0.074, 0.05, 0.0005, Agreement.DISAGREES),  # a systematic deviation of 5.5 %
        (0.076, 0.05, 0.5, Agreement.OPEN),  # p alone tells what is beyond noise
        (0.074, 0.051, 0.0005, Agreement.OPEN),
        (0.06, 0.04, 0.0005, Agreement.CLOSE),
        (0.04, 0.04, 0.5, Agreement.OPEN),
        (0.03, 0.03, 0.5, Agreement.AGREES),
        (0.03, 0.03, LIKELY, Agreement.AGREES),
        (0.03, 0.03, 0.99 * LIKELY, Agreement.CLOSE),
        (0.03, 0.01, 0.5, Agreement.AGREES),
        (NOISE_FACTOR * 0.06, 0.06, 0.001, Agreement.OPEN),  # more than noise, of which nobody knows the size
        (NOISE_FACTOR * 0.06 + 1e-9, 0.06, 0.001, Agreement.DISAGREES),
        (MATTERS, MATTERS, 0.5, Agreement.AGREES),
        (MATTERS, MATTERS + 1e-9, 0.5, Agreement.OPEN),
        (0.0, 0.0, 1.0, Agreement.AGREES),
    ],
)
def test_what_is_more_than_noise_is_close_up_to_five_per_cent_only(deviation, noise, p_value, expected):
    assert agreement_of(deviation, noise, p_value) is expected


@pytest.mark.parametrize(
    ("deviation", "noise", "expected"),
    [
        (0.0, 0.0, Agreement.OPEN),
        (0.5, 0.0, Agreement.OPEN),  # an error of zero is one that is not known
        (0.04, 0.01, Agreement.OPEN),  # clear of its noise, and no other structure
        (0.06, 0.01, Agreement.DISAGREES),
        (CLEAR * 0.1, 0.1, Agreement.OPEN),
        (CLEAR * 0.1 + 1e-6, 0.1, Agreement.DISAGREES),
    ],
)
def test_without_reliable_errors_only_what_is_far_apart_disagrees(deviation, noise, expected):
    assert agreement_of(deviation, noise, None) is expected


@pytest.mark.parametrize(
    ("deviation", "noise", "p_value", "expected"),
    [
        (0.04, 0.02, 0.05, Agreement.AGREES),  # two and a half errors are no rare number
        (0.04, 0.02, 0.001, Agreement.CLOSE),
        (0.09, 0.02, 0.001, Agreement.DISAGREES),
        (0.2, 0.1, 0.05, Agreement.OPEN),
        (0.4, 0.1, 0.001, Agreement.DISAGREES),  # beyond doubt, however large its noise
    ],
)
def test_of_a_number_p_alone_tells_what_is_beyond_noise(deviation, noise, p_value, expected):
    assert agreement_of(deviation, noise, p_value) is expected


def test_the_systematic_part_is_what_is_left_in_quadrature():
    assert systematic(0.05, 0.03) == pytest.approx(0.04)
    assert systematic(0.03, 0.05) == 0.0


def test_judgements_in_words():
    """The size of what is systematic; where p alone sees it, it is smaller than the noise."""
    assert str(Judgement("g(r) of W-W", Agreement.CLOSE, 0.05, 0.03)) == (
        "g(r) of W-W: close: systematic deviation of 4.0 %"
    )
    assert Judgement("x", Agreement.CLOSE, 0.02, 0.03).in_words == "close: systematic deviation below 3.0 %"
    assert Judgement("x", Agreement.DISAGREES, 0.3, 0.0).in_words == "disagrees: systematic deviation of 30 %"
    assert Judgement("x", Agreement.AGREES, 0.3, 0.3).in_words == "agrees within errors"
    assert Judgement("x", Agreement.OPEN, 0.3, 0.3).in_words == "too short to tell"


def test_rows_of_the_summary_are_read_back():
    one = Judgement("order", Agreement.OPEN, 0.02, 0.04)
    row = one.to_dict()
    assert json.loads(json.dumps(row)) == row
    assert set(row) == {"what", "verdict", "deviation", "expected_deviation"}
    assert Judgement.from_dict(row) == one


def test_the_worst_is_that_of_the_worst_word_and_then_the_largest():
    """What is not known may be worse than close."""
    rows = [Judgement(str(word), word, 0.1 - 0.01 * k, 0.01) for k, word in enumerate(SEVERITY)]
    for k in range(1, len(rows)):
        assert worst_of(rows[: k + 1]) is rows[k]
    first, second = (Judgement("x", Agreement.CLOSE, size, 0.01) for size in (0.02, 0.03))
    assert worst_of([second, first]) is worst_of([first, second]) is second
    assert worst_of([]) is None
    assert set(SEVERITY) == set(LEVELS) == set(Agreement)
    assert CLOSE > MATTERS
