"""Fit the `nequip` package's NequIP to residual forces, as `scripts/validate/networks.py` asks for it.

    python scripts/validate/fit_nequip.py IN.npz OUT.npz

Run it with a Python that has nequip 0.19.1; cgnnp is not needed. Loss, optimiser, schedule, averaging of weights and order
of the frames are those of cgnnp.training. Neighbour lists are made before the clock starts. Writes the forces on the
held-out frames by the best epoch, and the seconds that an epoch took, training and forces on the held-out frames.
"""

import argparse
import copy
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from nequip.data import AtomicDataDict, compute_neighborlist_, from_dict
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state


def frames(positions: np.ndarray, box: np.ndarray, cutoff: float) -> list[AtomicDataDict.Type]:
    """Frames with their neighbours, in single precision but for what nequip keeps in double."""
    result = []
    for one in positions.astype(np.float64):
        frame = {"pos": torch.tensor(one), "atom_types": torch.zeros(len(one), dtype=torch.int64)}
        frame |= {"cell": torch.tensor(box, dtype=torch.float64), "pbc": torch.tensor([True] * 3)}
        result.append(compute_neighborlist_(from_dict(frame), cutoff, backend="matscipy"))
    return result


def forces(model: torch.nn.Module, batch: list[AtomicDataDict.Type]) -> torch.Tensor:
    """Of all beads of several frames."""
    joined = AtomicDataDict.batched_from_list(batch) if len(batch) > 1 else batch[0]
    return model(dict(joined))[AtomicDataDict.FORCE_KEY]


def rate(step: int, total: int) -> float:
    """Linear warm-up over 2 %, then a cosine down to 1 %."""
    warm = max(1, total // 50)
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def main() -> None:
    """Fit and predict."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("source", type=Path)
    options.add_argument("target", type=Path)
    arguments = options.parse_args()
    with np.load(arguments.source) as file:
        given = dict(file)
    settings = json.loads(str(given["settings"]))
    set_global_state()
    torch.set_num_threads(1)
    model = NequIPGNNModel(**settings["model"], seed=0, model_dtype="float32")
    train, held_out = (
        frames(given[f"{name}_positions"], given["box"], settings["model"]["r_max"]) for name in ("train", "held_out")
    )
    targets = torch.tensor(given["train_residual"], dtype=torch.float64)
    residual_square = float(targets.square().mean())
    expected = torch.tensor(given["held_out_residual"], dtype=torch.float64)
    size, epochs = settings["batch_size"], settings["max_epochs"]
    total = epochs * math.ceil(len(train) / size)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings["learning_rate"])
    average, n_averaged, step, best, seconds = copy.deepcopy(model), 0, 0, (math.inf, np.empty(0)), []
    for epoch in range(epochs):
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(epoch)).tolist()
        model.train()
        started = time.perf_counter()
        for first in range(0, len(order), size):
            chosen = order[first : first + size]
            for group in optimizer.param_groups:
                group["lr"] = settings["learning_rate"] * rate(step, total)
            optimizer.zero_grad()
            target = targets[chosen].reshape(-1, 3)
            loss = (forces(model, [train[k] for k in chosen]) - target).square().mean() / residual_square
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings["gradient_clip"])
            optimizer.step()
            weight = min((1.0 + n_averaged) / (10.0 + n_averaged), settings["ema_decay"]) if n_averaged else 0.0
            with torch.no_grad():
                for own, new in zip(average.parameters(), model.parameters(), strict=True):
                    own.lerp_(new, 1.0 - weight)
            n_averaged, step = n_averaged + 1, step + 1
        average.eval()
        found = np.stack([forces(average, [frame]).detach().numpy() for frame in held_out])
        seconds.append(time.perf_counter() - started)
        error = float((torch.tensor(found, dtype=torch.float64) - expected).square().mean())
        best = min(best, (error, found), key=lambda pair: pair[0])
        print(f"epoch {epoch + 1} of {epochs}: force RMSE {math.sqrt(error):.3f}, {seconds[-1]:.0f} s", flush=True)
    np.savez(arguments.target, forces=best[1], seconds=np.array(seconds))


if __name__ == "__main__":
    main()
