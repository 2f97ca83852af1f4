"""Record every number that a fixed set of jobs writes, to see whether a change of the code changes any of them.

    python scripts/record/same_numbers.py --write tests/recorded/numbers.json     # before the change
    python scripts/record/same_numbers.py --against tests/recorded/numbers.json   # after it: print what differs

With `--against` the exit code is 1 if any number differs. The jobs use stored frames, one thread, the Reference platform and
fixed seeds, so that on one machine, with the same versions of torch and OpenMM, all numbers are equal to the last bit.
Another processor may sum in another order: there `--within 1e-4` compares numbers with a relative tolerance, and does not
compare the hashes of weights and trajectories.
"""

import argparse
import csv
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
STORED = ROOT / "tests" / "recorded"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENMM_CPU_THREADS": "1", "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": ""}

COMMON = "platform=Reference trainer.accelerator=cpu trainer.max_epochs=2 model.cutoff_nm=0.6"
FITTED = "prior.cutoff_nm=0.6 prior.pairs.min_count=5"
RUN = "simulation.length_ps=8 simulation.equilibration_ps=0.5 simulation.replicas=2 simulation.frame_interval_ps=0.2"
SALT = (
    "mapping=ions_nacl data={root}/examples/data/nacl_4M more_data=[{root}/examples/data/nacl_1.3M] model.cutoff_nm=0.6 "
    "prior.pairs.max_frames=200 trainer.max_epochs=1 trainer.accelerator=cpu platform=Reference refinement.length_ps=24 "
    "simulation.frame_interval_ps=0.2 simulation.replicas=1 simulation.length_ps=10 simulation.equilibration_ps=1 "
    "+trainer.type_weights.Na=2"
)
OTHER_BOX = (
    "potential={salt}/run/potential output=out platform=Reference force_backend=python simulation.length_ps=4 "
    "simulation.equilibration_ps=1 simulation.replicas=1 system.n_molecules=50"
)
JOBS: dict[str, list[str]] = {
    "water": [f"train data={{stored}}/water {FITTED} {COMMON} {RUN}", "compare run=run"],
    "averaged": [
        f"train data={{stored}}/draws {FITTED} {COMMON} prior.coulomb.eps_r=71 trainer.held_out_fraction=0.2 simulation=none"
    ],
    "salt": [f"train {SALT} draws={{stored}}/draws"],
    **{
        name: [f"train data={{stored}}/water {FITTED} {COMMON} model={name} simulation=none"]
        for name in ("allegro", "mace", "schnet", "pair")
    },
    "other_box": [f"simulate {OTHER_BOX}"],
    "check": ["check data={stored}/water output=out"],
}
"""Commands of each job (`python -m cgnnp.` is prepended). Every job runs in a folder of its own.

`{stored}` is the folder of the stored frames, `{root}` that of the repository, and `{salt}` that of the job salt.
"""

OCCASION = {
    *("created", "command", "versions", "cores", "processor", "cg_cores", "cg_processor", "run"),
    *("data", "compared_with", "more_data"),
}
TIMES = {"timings_s", "seconds", "ns", "atomistic_ns_per_day", "cg_ns_per_day", "independent_frames_per_s"}
HASHES = {"sha256", "checksums_sha256", "manifest_sha256", "attachments_sha256"}
VOLATILE = OCCASION | TIMES | HASHES | {"drift"}
"""Entries that are not compared: they say when, where, how fast, or with which versions a job ran. The drift comes
from runs on the fastest platform, where sums of forces have no fixed order."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--write", type=Path, help="write the numbers to this file")
    options.add_argument("--against", type=Path, help="compare the numbers with those of this file")
    options.add_argument("--within", type=float, default=0.0, help="relative tolerance; 0 means equal to the last bit")
    options.add_argument("--work", type=Path, help="empty folder for the jobs; default: a temporary one")
    options.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS), help="run only these jobs")
    arguments = options.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="numbers_"))
    numbers = measured(work.resolve(), arguments.only)
    if arguments.write:
        arguments.write.write_text(json.dumps(numbers, indent=0) + "\n")
    if arguments.against:
        known = json.loads(arguments.against.read_text())
        known = {key: value for key, value in known.items() if key.split("/")[0] in arguments.only}
        found = differences(known, numbers, arguments.within)
        print(*found[:60], f"{len(found)} of {len(known)} numbers differ", sep="\n")
        sys.exit(1 if found else 0)


def measured(work: Path, names: list[str]) -> dict[str, Any]:
    """Run the named jobs in folders of `work`; return the numbers that they write, by job/file/entry."""
    found: dict[str, Any] = {}
    for name in names:
        folder = work / name
        folder.mkdir(parents=True)
        for line in JOBS[name]:
            folders = {"root": ROOT, "stored": STORED, **{other: work / other for other in JOBS}}
            command, *rest = [word.format(**folders) for word in line.split()]
            rest += ["run_dir=run"] if command == "train" else []
            print("---", name, command, file=sys.stderr, flush=True)
            environment, module = {**os.environ, **ONE_THREAD}, f"cgnnp.{command}"
            whole = [sys.executable, "-m", module, *rest]
            done = subprocess.run(whole, cwd=folder, env=environment, capture_output=True, text=True)
            if done.returncode and not (command == "check" and done.returncode in (1, 3)):
                raise RuntimeError(f"{name}: {command}: exit code {done.returncode}\n{done.stderr[-3000:]}")
        found |= {f"{name}/{key}": value for key, value in numbers_in(folder)}
    return found


def numbers_in(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield (file/entry, value) for everything that a job wrote to its folder.

    Values are the entries of JSON files, sums of the columns of CSV files, sums of arrays, and hashes of weights and
    trajectories.
    """
    for file in sorted(folder.rglob("*")):
        place = str(file.relative_to(folder))
        if "results" in file.parts:  # stored results of stages, whose numbers are also in summary.json
            continue
        if file.suffix == ".json":
            yield from ((f"{place}/{key}", value) for key, value in flat(json.loads(file.read_text())))
        elif file.suffix == ".csv" and file.name != "log.csv":
            yield from columns(place, file)
        elif file.suffix == ".safetensors" or file.name in ("positions.npy", "forces.npy", "boxes.npy"):
            yield f"{place}/sha256", hashlib.sha256(file.read_bytes()).hexdigest()
        elif file.suffix == ".npy":
            yield f"{place}/sum", float(np.load(file).astype(np.float64).sum())


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (key, value) for all entries of nested data but `VOLATILE` ones; a list of numbers yields its sum."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name not in VOLATILE:
                yield from flat(part, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and numeric(value):
        yield f"{key}.sum", float(np.sum(value, dtype=np.float64))
    elif isinstance(value, list):
        for k, part in enumerate(value):
            yield from flat(part, f"{key}.{k}")
    else:
        yield key, value


def numeric(value: list[Any]) -> bool:
    """Return whether a list is not empty and holds only numbers, or lists of numbers."""
    return bool(value) and all(numeric(part) if isinstance(part, list) else type(part) in (int, float) for part in value)


def columns(place: str, file: Path) -> Iterator[tuple[str, float]]:
    """Yield (place/column.sum, sum) for every numeric column of a CSV file except the times."""
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    for name in rows[0] if rows else ():
        if name not in ("seconds", "pair", "angle", "beads"):
            yield f"{place}/{name}.sum", math.fsum(float(row[name]) for row in rows if row[name] not in ("", None))


def differences(known: dict[str, Any], found: dict[str, Any], within: float) -> list[str]:
    """Return a line for every known entry that is missing from `found` or differs there.

    Entries that only `found` has are ignored. With a tolerance hashes are not compared.
    """
    said = []
    for key, one in known.items():
        if within and key.endswith("/sha256"):
            continue
        two = found.get(key, "absent")
        if one != two and not (within and close(one, two, within)):
            said.append(f"{key}: {one!r} -> {two!r}")
    return said


def close(one: Any, two: Any, within: float) -> bool:
    """Return whether two entries are equal, or are numbers that agree within the tolerance, relative or absolute."""
    numbers = all(isinstance(value, int | float) for value in (one, two))
    return one == two or (numbers and math.isclose(one, two, rel_tol=within, abs_tol=within))


if __name__ == "__main__":
    main()
