"""Files that are either complete or as they were, and locks on directories. Imports the standard library only."""

import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any


def write_file(path: Path, data: str | bytes) -> None:
    """Write a file so that, whatever happens meanwhile, it is complete or as it was."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data.encode() if isinstance(data, str) else data)
    sync(temporary)
    temporary.replace(path)


def write_json(path: Path, data: Any) -> None:
    """Write plain data so that the file is complete or as it was."""
    write_file(path, json.dumps(data, indent=1) + "\n")


def read_json(path: Path, mend: str = "delete it and make it again") -> Any:
    """Plain data from a file; `mend` is what the message says to do when it is damaged.

    Raises:
        ValueError: damaged or truncated.
    """
    try:
        return json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: damaged or truncated JSON ({error}): {mend}") from error


def file_checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Have the system put a file, or the names in a directory, on the disk now: a rename must not arrive before them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock_directory(directory: Path, what: str) -> IO[str]:
    """Hold a lock on a directory until the returned file is closed: one writer at a time. `what` it is, for the message.

    Raises:
        ValueError: another process holds it.
    """
    file = (directory / ".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ValueError(f"{directory}: another process is writing this {what}: wait for it, or stop it") from error
    return file
