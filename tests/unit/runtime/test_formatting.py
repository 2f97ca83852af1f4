"""Numbers in words."""

import numpy as np

from cgnnp.runtime.formatting import duration, number, percent, plus_minus, significant


def test_numbers_in_words():
    assert [number(12345.6, 1), number(None), number(float("nan")), number(-0.5, 1)] == ["12,345.6", "–", "–", "−0.5"]
    assert [number(np.float32(0.25), 2), number(2, 1, sign=True)] == ["0.25", "+2.0"]
    assert [plus_minus(1.0, 0.1, 1), plus_minus(1.0, None, 1), plus_minus(None, 0.1, 1)] == ["1.0 ± 0.1", "1.0", "–"]
    assert [percent(0.173), percent(0.0171), percent(0.0043), percent(None)] == ["17 %", "1.7 %", "0.43 %", "–"]
    assert [significant(x) for x in (152.4, 2.13, 0.0, 0.00415, None)] == ["152", "2.1", "0", "0.0042", "–"]
    assert [duration(s) for s in (1.23, 45, 278.6, 7300)] == ["1.2 s", "45 s", "4 min 39 s", "2 h 1 min"]
