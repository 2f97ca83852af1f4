"""Write files that are always complete, with checksums beside them, and lock directories.

A file is either complete or unchanged, even if the process is killed. Checksums detect damage (by a disk or a truncated
copy) and accidental edits. They do not protect against deliberate changes, since a file and its checksum can be changed
together. Imports the standard library only.
"""

import contextlib
import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

CHECKSUM = ".sha256"
"""Suffix of the file with the checksum of another file, in the format of `sha256sum`."""


Content = str | bytes | Iterable[bytes]
"""Contents of a file, at once or piece by piece."""


def write_file(path: Path, data: Content) -> None:
    """Write a file. Whatever happens meanwhile, the file is either complete or unchanged.

    Raises:
        OSError: the file cannot be written. The message always names the file; the system's own message about a full disk
            does not.
    """
    with _beside_its_place(path, data):
        pass


@contextlib.contextmanager
def _beside_its_place(path: Path, data: Content) -> Iterator[str]:
    """Write the content to a temporary file and yield its SHA-256. At the end, the temporary file replaces the file."""
    temporary = path.with_name(f".{path.name}.part")
    with naming(path), _alone(temporary):
        try:
            digest = _fill(temporary, data)
            sync(temporary)
            yield digest
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _fill(path: Path, data: Content) -> str:
    """Write the content to a file, and return its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in (data.encode(),) if isinstance(data, str) else (data,) if isinstance(data, bytes) else data:
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock on a temporary file, so that no other process writes it. A file left by a killed process is reused."""
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_still(path, handle):  # the previous holder of the lock may have renamed the file
                yield
                return
        finally:
            os.close(handle)


def _is_still(path: Path, handle: int) -> bool:
    """Return whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the name of a file or folder to system errors without a name, such as the error of a full disk."""
    try:
        yield
    except OSError as error:
        if (told := named(error, path)) is error:
            raise
        raise told from error


def named(error: OSError, path: Path) -> OSError:
    """Return a system error with the name of the file or folder that could not be written added, if it is not there."""
    if error.filename is not None or str(path) in str(error):
        return error
    reason = error.strerror or str(error)
    return OSError(
        f"{path}: cannot be written ({reason}): remove the cause (on a full disk free some space), then run the same "
        "command again"
    )


def write_json(path: Path, data: Any) -> None:
    """Write plain data as JSON. The file is complete or unchanged; numbers that are not finite become null."""
    write_file(path, json_text(data))


def json_text(data: Any) -> str:
    """Return plain data as JSON. NaN and infinities become null, since JSON does not have them."""
    try:
        return json.dumps(data, indent=1, allow_nan=False) + "\n"
    except ValueError:
        return json.dumps(_finite(data), indent=1, allow_nan=False) + "\n"


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def read_json(path: Path, mend: str = "delete it and make it again", *, literals: bool = False) -> Any:
    """Read plain data from a JSON file.

    `mend` is the advice in the message about a damaged file. With `literals`, NaN and Infinity are read as null, since
    earlier versions wrote them into summaries.

    Raises:
        ValueError: the file is damaged or truncated, has an entry twice, or has a number that is not finite.
    """
    constant = (lambda _: None) if literals else _refuse_number
    try:
        return json.loads(
            path.read_text(encoding="utf-8"),
            object_pairs_hook=_once_each,
            parse_constant=constant,
            parse_float=_finite_float,
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged or truncated JSON ({error}): {mend}") from error


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the entry {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return result


def _finite_float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not a finite number")


def data_digest(data: Any, digits: int = 12) -> str:
    """Return the first hexadecimal digits of the SHA-256 of plain data. The order of keys does not matter."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:digits]


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checked(path: Path, data: Content) -> None:
    """Write a file and its checksum, which `check_file` compares.

    The two files match even if the process is killed at any moment: while the file is replaced, the checksums of the old
    and of the new file are both stored.
    """
    beside = _beside(path)
    with _beside_its_place(path, data) as new:
        before = (_checksums(path) or [file_checksum(path)]) if path.exists() else []
        write_file(beside, _lines(path, [new, *before]))
    write_file(beside, _lines(path, [new]))


def check_file(path: Path, mend: str, *, unknown: bool = True) -> None:
    """Refuse a file that has changed since it was written.

    Args:
        path: path of the file.
        mend: advice in the message on what to do.
        unknown: whether a file without a checksum is accepted; earlier versions wrote such files.

    Raises:
        ValueError: the file is damaged or was changed.
    """
    known = _checksums(path)
    if known is None and not unknown:
        raise ValueError(f"{path}: has no checksum beside it: {mend}")
    if known is not None and file_checksum(path) not in known:
        raise ValueError(f"{path}: damaged, truncated or changed (its checksum differs from {_beside(path).name}): {mend}")


def remove_checked(path: Path) -> None:
    """Delete a file and its checksum."""
    path.unlink(missing_ok=True)
    _beside(path).unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + CHECKSUM)


def _lines(path: Path, sums: list[str]) -> str:
    return "".join(f"{value}  {path.name}\n" for value in dict.fromkeys(sums))


def _checksums(path: Path) -> list[str] | None:
    """Return the checksums in the checksum file beside a file, or None if there is no checksum file.

    From a damaged checksum file, texts are returned that match no file.
    """
    beside = _beside(path)
    if not beside.exists():
        return None
    return [line.split()[0] for line in beside.read_text(errors="replace").splitlines() if line.strip()]


def sync(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk, so that a later rename cannot reach the disk first."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock_directory(directory: Path, what: str) -> IO[str]:
    """Lock a directory until the returned file is closed, so that only one process writes it.

    `what` describes the directory in the message.

    Raises:
        ValueError: another process holds the lock.
    """
    file = (directory / ".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ValueError(f"{directory}: another process is writing this {what}: wait for it, or stop it") from error
    return file
