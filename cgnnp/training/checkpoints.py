"""Checkpoints of a fit. They hold weights and a description of the network, and stay valid when the folder is moved."""

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
    """Writes a checkpoint and its checksum to a temporary file in the same folder, and renames it.

    A process that is killed leaves either the complete new checkpoint or the old one. Lightning's own class writes to /tmp,
    and copies the file if /tmp is another file system; a kill during the copy leaves a truncated checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the checkpoint to one file; `storage_options` is ignored."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, content := io.BytesIO())
        write_checked(target, content.getvalue())


class MovableCheckpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint` for a folder that may have been moved or renamed.

    Lightning forgets the best score if the folder has another name than in the stored state. This class corrects the paths.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a stored state; its checkpoint files are now in `dirpath`."""
        state = {**state_dict, "dirpath": self.dirpath}
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[key] = self._here(state[key])
        state["best_k_models"] = {self._here(path): score for path, score in state["best_k_models"].items()}
        super().load_state_dict(state)

    def _here(self, path: str) -> str:
        return str(Path(str(self.dirpath)) / Path(path).name) if path else ""


def early_stopping(patience: int) -> EarlyStopping:
    """Return a callback that ends a fit if R2 is not finite, or has not risen by more than 1e-4 for `patience` epochs."""
    return EarlyStopping("r2", mode="max", patience=patience, min_delta=1e-4)


def stopping_state(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the state of the callback `early_stopping` in a checkpoint; an empty dictionary if the checkpoint has none.

    Entries of the state are `stopping_reason` (0 if the fit had not stopped), `stopped_epoch` and others.
    """
    return checkpoint.get("callbacks", {}).get(early_stopping(1).state_key, {})


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint as plain data. Code in the file is never run.

    Raises:
        ValueError: the file is missing, truncated or incomplete, or another program or another version of cgnnp wrote it.
    """
    if not path.exists():
        raise ValueError(f"{path}: there is no such checkpoint: fit again")
    check_file(path, "delete it and fit again")
    try:
        _check_zip(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, LookupError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path}: the file is truncated, or is not a checkpoint of plain weights: delete it and fit again"
        ) from error
    ours = checkpoint.get("cgnnp") if isinstance(checkpoint, dict) else None
    if not isinstance(ours, dict):
        raise ValueError(
            f"{path}: the file is a checkpoint, but cgnnp did not write it (it has no 'cgnnp' entry): use one of cgnnp"
        )
    if missing := [*({"version", "model"} - set(ours)), *({"state_dict", "epoch"} - set(checkpoint))]:
        raise ValueError(
            f"{path}: the checkpoint is not complete (it has no {', '.join(sorted(missing))}): delete it and fit again"
        )
    if not isinstance(ours["version"], int) or not isinstance(checkpoint["state_dict"], dict):
        raise ValueError(f"{path}: the checkpoint is damaged (its entries have wrong types): delete it and fit again")
    if ours["version"] > CHECKPOINT_VERSION:
        raise ValueError(
            f"{path}: has checkpoint version {ours['version']}, but this cgnnp reads versions up to {CHECKPOINT_VERSION}: "
            "upgrade cgnnp"
        )
    if ours["version"] < CHECKPOINT_VERSION:
        raise ValueError(
            f"{path}: has checkpoint version {ours['version']}, but the structure of the networks has changed since then "
            f"(this cgnnp reads version {CHECKPOINT_VERSION}): fit again"
        )
    return checkpoint


def _check_zip(path: Path) -> None:
    """Check the CRCs inside a zip file, which torch ignores.

    Checkpoints of earlier versions need this test, because they have no checksum file.
    """
    with zipfile.ZipFile(path) as file:
        if (damaged := file.testzip()) is not None:
            raise ValueError(f"the CRC of {damaged} in the zip file is wrong")


def load_checkpoint(path: Path) -> Potential:
    """Return the network of a checkpoint with its averaged weights.

    Raises:
        ValueError: the checkpoint cannot be used (see `read_checkpoint`), or its weights do not fit the network.
    """
    checkpoint = read_checkpoint(path)
    model = model_from_dict(checkpoint["cgnnp"]["model"], str(path))
    weights = {key.removeprefix("model."): value for key, value in checkpoint["state_dict"].items()}
    load_weights(model, weights, path, path)
    return model.eval()
