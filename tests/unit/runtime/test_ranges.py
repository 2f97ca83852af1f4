"""Every number that a configuration can set has a range, and the defaults are far inside."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cgnnp.runtime.ranges import POSITIVE, RANGES, check_range

CONF = Path(__file__).parents[3] / "conf"
JUDGED_ELSEWHERE = {"l_max", "correlation", "ema_decay", "held_out_fraction"}


def numbers() -> Iterator[tuple[str, str, float]]:
    for path in sorted(CONF.rglob("*.yaml")):
        for name, value in (yaml.safe_load(path.read_text()) or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield str(path.relative_to(CONF)), name, value


def test_every_number_has_a_range():
    names = {name for _, name, _ in numbers()}
    assert len(names) > 30
    assert names - set(RANGES) == JUDGED_ELSEWHERE


@pytest.mark.parametrize(("file", "name", "value"), list(numbers()))
def test_defaults_are_far_inside(file, name, value):
    check_range("", name, value)
    if value and name in RANGES and name not in ("layers", "steps"):
        low, high = RANGES[name]
        assert low <= value * 1.0001
        assert value * 5 <= high


def test_what_is_beyond_a_range_is_refused():
    for name, (low, high) in RANGES.items():
        check_range("x", name, high)
        for value in (
            *([high * 2, math.inf, 10**30, [high * 2]] if math.isfinite(high) else []),
            *([low / 2] if low and name != "seed" else []),
            *([0, -1] if name in POSITIVE else []),
        ):
            with pytest.raises(ValueError, match=rf"^{name}=.*: must be "):
                check_range("x", name, value)


def test_what_cannot_hang_has_no_upper_bound():
    check_range("trainer", "batch_size", 10**30)
    check_range("model", "energy_bound_kJ_mol", 1e30)
    with pytest.raises(ValueError, match=r"energy_bound_kJ_mol=1e-07: must be at least 1e-06 \(a limit of cgnnp"):
        check_range("model", "energy_bound_kJ_mol", 1e-7)
