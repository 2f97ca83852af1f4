"""Nothing wrong passes silently: attacks of every kind, in a fresh process, whose judgements are looked up one by one.

The default tests try a sample; `pytest -m slow` and `scripts/validate/trust.py` try the rest. Annotations are not checked
there as they are in other tests: a wrong value must be found by the product itself.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults import everything, kills
from faults.outcomes import Attack, Kept, chosen

SHORT = everything.short()
LONG = [attack for attack in everything.attacks() if attack.key not in {one.key for one in SHORT}]
LONG_SAMPLE = chosen(LONG, 40)
TESTS = Path(__file__).parents[1]


def carried_out(work: Path, *arguments: str) -> Kept:
    """The judgements of a fresh process."""
    line = [sys.executable, "-m", "faults.runner", "--work", str(work), *arguments]
    done = subprocess.run(line, cwd=TESTS, env={**os.environ, "PYTHONPATH": str(TESTS)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Kept(work / "judgements.jsonl")


@pytest.fixture(scope="module")
def judgements(tmp_path_factory):
    """Of the short list."""
    return carried_out(tmp_path_factory.mktemp("attacks"), "--short", "--workers", "2").read()


@pytest.mark.parametrize("attack", SHORT, ids=lambda attack: attack.key)
def test_nothing_wrong_passes(attack: Attack, judgements):
    judgement = judgements[attack.key]
    assert judgement.good, f"{judgement.outcome.value}: {judgement.said}"


@pytest.mark.slow
def test_nothing_wrong_passes_in_a_larger_sample(tmp_path):
    found = carried_out(tmp_path, "--keys", *(attack.key for attack in LONG_SAMPLE)).read()
    wrong = {key: one for key, one in found.items() if not one.good}
    assert len(found) == len(LONG_SAMPLE)
    assert not wrong, "\n".join(f"{one.outcome.value}: {key}: {one.said}" for key, one in wrong.items())


@pytest.mark.slow
def test_a_killed_job_ends_as_if_nothing_had_happened(tmp_path):
    attacks = [attack for attack in kills.attacks(7) if attack.name.startswith(("fit ", "compare "))]
    found = carried_out(tmp_path, "--keys", *(attack.key for attack in attacks)).read()
    assert len(found) == len(attacks)
    assert not [f"{key}: {one.said}" for key, one in found.items() if not one.good]
