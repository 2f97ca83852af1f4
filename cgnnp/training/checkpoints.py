"""Checkpoints of a fit: plain weights beside the network as data, written whole, known again where they were moved to."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins import TorchCheckpointIO

from cgnnp.models.potential import Potential
from cgnnp.models.registry import model_from_dict
from cgnnp.models.weights import load_weights
from cgnnp.runtime.storage import check_file, write_checked
from cgnnp.training.lightning_module import CHECKPOINT_VERSION


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it, with its checksum: after a kill it is complete or as it was.

    Lightning's own goes through /tmp and copies where that is another file system, which a kill cuts short.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write one file; `storage_options` is not used."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, content := io.BytesIO())
        write_checked(target, content.getvalue())


class MovableCheckpoint(ModelCheckpoint):
    """Lightning's, which forgets the best score where the folder has another name now, with its paths put right."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state, whose files now lie in `dirpath`."""
        state = {**state_dict, "dirpath": self.dirpath}
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[key] = self._here(state[key])
        state["best_k_models"] = {self._here(path): score for path, score in state["best_k_models"].items()}
        super().load_state_dict(state)

    def _here(self, path: str) -> str:
        return str(Path(str(self.dirpath)) / Path(path).name) if path else ""


def early_stopping(patience: int) -> EarlyStopping:
    """Ends a fit after `patience` epochs in which R2 gained less than 1e-4, or at an R2 that is not finite."""
    return EarlyStopping("r2", mode="max", patience=patience, min_delta=1e-4)


def stopping_state(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What `early_stopping` knew at a checkpoint: `stopping_reason` (0: go on), `stopped_epoch`, ...; empty without it."""
    return checkpoint.get("callbacks", {}).get(early_stopping(1).state_key, {})


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint as data; code in the file is never run.

    Raises:
        ValueError: missing, truncated, incomplete, not one of ours, or written by another version.
    """
    if not path.exists():
        raise ValueError(f"{path}: there is no such checkpoint: fit again")
    check_file(path, "delete it and fit again")
    try:
        _check_zip(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, LookupError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: truncated, or not a checkpoint of plain weights: delete it and fit again") from error
    ours = checkpoint.get("cgnnp") if isinstance(checkpoint, dict) else None
    if not isinstance(ours, dict):
        raise ValueError(f"{path}: a checkpoint, but not one that cgnnp wrote (no 'cgnnp' entry)")
    if missing := [*({"version", "model"} - set(ours)), *({"state_dict", "epoch"} - set(checkpoint))]:
        raise ValueError(f"{path}: not complete (no {', '.join(sorted(missing))}): delete it and fit again")
    if not isinstance(ours["version"], int) or not isinstance(checkpoint["state_dict"], dict):
        raise ValueError(f"{path}: not complete (entries are of other types): delete it and fit again")
    if ours["version"] > CHECKPOINT_VERSION:
        raise ValueError(
            f"{path}: checkpoint version {ours['version']}, this cgnnp reads up to {CHECKPOINT_VERSION}: upgrade cgnnp"
        )
    if ours["version"] < CHECKPOINT_VERSION:
        raise ValueError(
            f"{path}: checkpoint version {ours['version']}, of networks whose structure has changed since (this cgnnp reads "
            f"version {CHECKPOINT_VERSION}): fit again"
        )
    return checkpoint


def _check_zip(path: Path) -> None:
    """Compare the CRCs of a zip file, which torch does not read: those of earlier versions have no checksum beside them."""
    with zipfile.ZipFile(path) as file:
        if (damaged := file.testzip()) is not None:
            raise ValueError(f"the CRC of {damaged} differs")


def load_checkpoint(path: Path) -> Potential:
    """The network of a checkpoint, with its averaged weights.

    Raises:
        ValueError: see `read_checkpoint`; also weights that do not fit the network.
    """
    checkpoint = read_checkpoint(path)
    model = model_from_dict(checkpoint["cgnnp"]["model"], str(path))
    weights = {key.removeprefix("model."): value for key, value in checkpoint["state_dict"].items()}
    load_weights(model, weights, path, path)
    return model.eval()
