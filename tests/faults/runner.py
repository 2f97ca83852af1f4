"""Carries attacks out, several at a time, in processes that have imported everything once."""

import argparse
import importlib
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from preloaded import PRELOADED

from faults.outcomes import Attack, Judgement, Kept, Outcome

SETTLED = {
    "OMP_NUM_THREADS": "1",
    "OPENMM_CPU_THREADS": "1",
    "CGNNP_COMPILED": "0",
    "HYDRA_FULL_ERROR": "1",
    "MPLBACKEND": "Agg",
}


def carry_out(attacks: Sequence[Attack], work: Path, workers: int) -> dict[str, Judgement]:
    """Judgements by key, of attacks that have none yet in the work folder too."""
    work.mkdir(parents=True, exist_ok=True)
    kept = Kept(work / "judgements.jsonl")
    known = kept.read()
    waiting = [attack for attack in attacks if attack.key not in known]
    if waiting:
        os.environ.update(SETTLED)
        os.environ["CGNNP_FAULTS_BASES"] = str((work / "bases").resolve())
        for name in PRELOADED:
            importlib.import_module(name)
        children = [_worker(waiting[k::workers], kept, work) for k in range(min(workers, len(waiting)))]
        _watch(children, kept, {attack.key for attack in waiting})
    found = kept.read()
    return {attack.key: found[attack.key] for attack in attacks if attack.key in found}


def _worker(attacks: Sequence[Attack], kept: Kept, work: Path) -> int:
    """A process that tries some of them, one after the other."""
    child = os.fork()
    if child:
        return child
    try:
        for attack in attacks:
            kept.add(attack, _tried(attack, work))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _tried(attack: Attack, work: Path) -> Judgement:
    folder = Path(tempfile.mkdtemp(prefix="attack_", dir=work))
    try:
        return attack.act(folder)
    except Exception as error:  # the attack itself cannot be carried out: that has to be seen
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = f"the attack failed: {type(error).__name__}: {str(error)[-400:]} ({Path(last.filename).name}:{last.lineno})"
        return Judgement(Outcome.UNCLEAR, said)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _watch(children: list[int], kept: Kept, keys: set[str]) -> None:
    """Say how far it is, until all have ended."""
    said = 0.0
    while children:
        child, _ = os.waitpid(-1, os.WNOHANG)
        children = [one for one in children if one != child]
        if time.monotonic() - said > 20.0 or not children:
            found = [judgement for key, judgement in kept.read().items() if key in keys]
            bad = sum(not judgement.good for judgement in found)
            print(f"{len(found)} of {len(keys)} tried, {bad} went wrong", file=sys.stderr, flush=True)
            said = time.monotonic()
        time.sleep(0.05)


def main() -> None:
    """`python -m faults.runner --work DIR --category "bit flips"`: for those who mend."""
    from faults import everything, kills

    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--category", nargs="+", help="of these alone")
    options.add_argument("--name", help="those whose name holds this")
    options.add_argument("--keys", nargs="+", help="these alone")
    options.add_argument("--short", action="store_true", help="those of the default tests")
    options.add_argument("--workers", type=int, default=1)
    arguments = options.parse_args()
    attacks = everything.short() if arguments.short else [*everything.attacks(), *kills.attacks()]
    attacks = [attack for attack in attacks if not arguments.keys or attack.key in arguments.keys]
    attacks = [attack for attack in attacks if not arguments.category or attack.category in arguments.category]
    attacks = [attack for attack in attacks if not arguments.name or arguments.name in attack.name]
    for key, judgement in carry_out(attacks, arguments.work, arguments.workers).items():
        print(f"{judgement.outcome.value:16} {key}\n{'':16}   {judgement.said}")


if __name__ == "__main__":
    main()
