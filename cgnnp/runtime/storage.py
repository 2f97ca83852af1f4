"""Files that are either complete or as they were, checksums beside them, and locks on directories.

Imports the standard library only. What a checksum is for: damage (a disk, a copy cut short) and careless editing. Whoever
wants to can change a file and its checksum together; a file is no safer for having one.
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
"""Ending of the file beside another that holds its checksum, in the form of `sha256sum`."""


Content = str | bytes | Iterable[bytes]
"""Of a file: at once, or piece by piece."""


def write_file(path: Path, data: Content) -> None:
    """Write a file so that, whatever happens meanwhile, it is complete or as it was.

    Raises:
        OSError: with the name of the file, which a full disk does not say.
    """
    with _beside_its_place(path, data):
        pass


@contextlib.contextmanager
def _beside_its_place(path: Path, data: Content) -> Iterator[str]:
    """The SHA-256 of the content, which is on the disk under another name; at the end it is put in its place."""
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
    """Hold a file that no other process writes meanwhile; what a killed process left there is taken over."""
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_still(path, handle):  # whoever held the lock before may have put the file in its place
                yield
                return
        finally:
            os.close(handle)


def _is_still(path: Path, handle: int) -> bool:
    """Whether an open file is the one of this name."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name a file or folder in system errors that name none: those of a full disk come without."""
    try:
        yield
    except OSError as error:
        if (told := named(error, path)) is error:
            raise
        raise told from error


def named(error: OSError, path: Path) -> OSError:
    """A system error that says which file or folder could not be written."""
    if error.filename is not None or str(path) in str(error):
        return error
    reason = error.strerror or str(error)
    return OSError(f"{path}: cannot be written ({reason}): mend that (free some space), then the same command continues")


def write_json(path: Path, data: Any) -> None:
    """Write plain data so that the file is complete or as it was; numbers that are not finite become null."""
    write_file(path, json_text(data))


def json_text(data: Any) -> str:
    """Plain data as JSON. NaN and infinities are no JSON: they become null."""
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
    """Plain data from a file; `mend` is what the message says to do when it is damaged.

    With `literals` NaN and Infinity are read as null: earlier versions wrote them into summaries.

    Raises:
        ValueError: damaged or truncated, an entry that stands there twice, or a number that is not finite.
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
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return result


def _finite_float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not a finite number")


def data_digest(data: Any, digits: int = 12) -> str:
    """So many hexadecimal digits of the SHA-256 of plain data, whatever the order of keys and the layout of their file."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:digits]


def file_checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checked(path: Path, data: Content) -> None:
    """Write a file and, beside it, its checksum; `check_file` compares them.

    After a kill at any moment the two belong together: while the file is replaced, the checksums of both are there.
    """
    beside = _beside(path)
    with _beside_its_place(path, data) as new:
        before = (_checksums(path) or [file_checksum(path)]) if path.exists() else []
        write_file(beside, _lines(path, [new, *before]))
    write_file(beside, _lines(path, [new]))


def check_file(path: Path, mend: str, *, unknown: bool = True) -> None:
    """Refuse a file that is not as it was written.

    Args:
        path: of the file.
        mend: what a message says to do.
        unknown: whether one without a checksum beside it passes, as earlier versions wrote them.

    Raises:
        ValueError: it was damaged or changed.
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
    """The checksums beside a file, None where there are none; a damaged list of them holds none that fits."""
    beside = _beside(path)
    if not beside.exists():
        return None
    return [line.split()[0] for line in beside.read_text(errors="replace").splitlines() if line.strip()]


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
