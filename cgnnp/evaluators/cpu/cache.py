"""The cache of compiled libraries, and the checks that a library must pass before it is loaded.

Loading a library runs its code. Therefore the folder and the library must belong to the user, and nobody else may have write
permission; ssh treats private keys in the same way. The SHA-256 of each library is appended to its file, where the loader
ignores it. A library with a wrong checksum is built again, because loading a truncated or damaged library could crash the
process without a message.
"""

import contextlib
import hashlib
import logging
import os
import re
import stat
from pathlib import Path

from cgnnp.runtime.storage import sync

log = logging.getLogger("cgnnp")

SEAL = b"\ncgnnp sha256 "
"""Bytes between a library and the checksum that is appended to its file."""

OURS = re.compile(r"network-[0-9a-f]{32}\.so|(building-|tmp)\w{8}")
"""Pattern of the names that cgnnp creates in the cache: libraries, and the temporary folders in which they are built."""

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class CompilationError(RuntimeError):
    """There is no compiler, the compilation failed, or there is no safe place for the library."""


def cache_directory() -> Path:
    """Return the folder of the libraries: CGNNP_CACHE, or `cgnnp` in the user's cache directory.

    Raises:
        CompilationError: CGNNP_CACHE is not set, and the user has no home directory.
    """
    if chosen := os.environ.get("CGNNP_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cgnnp"
    except RuntimeError as error:
        raise CompilationError(
            f"compiled libraries cannot be stored, because there is no home directory ({error}): set CGNNP_CACHE to a folder"
        ) from error


def make_private(directory: Path) -> None:
    """Make the folder of the libraries, which nobody else may read or write.

    If the folder exists and others may write to it, they lose this permission and its libraries are deleted.

    Raises:
        CompilationError: the folder cannot be made; the folder, or a symbolic link to it, belongs to another user; or others
            may write to the folder and it also holds files that are not libraries of cgnnp.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = [directory.stat(), *([directory.lstat()] if directory.is_symlink() else [])]
    except OSError as error:
        raise CompilationError(
            f"{directory}: cannot be written ({error}): choose another folder with CGNNP_CACHE"
        ) from error
    if any(one.st_uid != os.getuid() for one in found):
        raise CompilationError(
            f"{directory}: belongs to another user, whose libraries are not loaded: choose a folder of your own with "
            "CGNNP_CACHE"
        )
    if found[0].st_mode & OTHERS_MAY_WRITE:
        mode = stat.S_IMODE(found[0].st_mode)
        if not _taken_back(directory):
            raise CompilationError(
                f"{directory}: others may write to it (mode {mode:o}) and so could make cgnnp run their code: empty the "
                f"folder and run `chmod 700 {directory}`, or choose another folder with CGNNP_CACHE"
            )
        log.info(
            "%s: other users could write to this folder (mode %o), but no longer can: its libraries are built again",
            directory,
            mode,
        )


def _taken_back(directory: Path) -> bool:
    """Take a folder's write permission from other users and delete the libraries in it. Return whether this succeeded.

    Earlier versions of cgnnp made the folder with the user's umask, so others may have write permission. The folder is left
    unchanged if it holds other files, or if its sticky bit is set (as for /tmp), because then other programs use it too.
    """
    with contextlib.suppress(OSError):
        is_ours = all(OURS.fullmatch(path.name) for path in directory.iterdir())
        if is_ours and not directory.stat().st_mode & stat.S_ISVTX:
            directory.chmod(0o700)
            for library in directory.glob("network-*.so"):
                library.unlink(missing_ok=True)
            return not directory.stat().st_mode & OTHERS_MAY_WRITE
    return False


def sealed(library: bytes) -> bytes:
    """Return the content of a library with its checksum appended."""
    return library + SEAL + hashlib.sha256(library).hexdigest().encode()


def why_not(library: Path) -> str | None:
    """Return the reason why a library must not be loaded, or None if it may be.

    Raises:
        FileNotFoundError: the library does not exist.
    """
    found = library.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & OTHERS_MAY_WRITE:
        return "it belongs to another user, others may write to it, or it is not a regular file"
    with contextlib.suppress(OSError):
        content, _, checksum = library.read_bytes().rpartition(SEAL)
        if content and hashlib.sha256(content).hexdigest().encode() == checksum:
            return None
    return "it is damaged, or of an earlier version (the checksum is missing or wrong)"


def keep(built: Path, library: Path) -> None:
    """Move a library that was just built into the cache, atomically, with its checksum."""
    built.write_bytes(sealed(built.read_bytes()))
    built.chmod(0o600)
    sync(built)
    built.replace(library)
    sync(library.parent)
