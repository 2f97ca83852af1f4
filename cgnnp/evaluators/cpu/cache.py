"""Where compiled libraries are kept, and which of them may be loaded: ours alone, whole, and writable by nobody else.

Loading a library runs its code, so a folder or a file that others may change is refused, as ssh refuses such keys. A library
ends with the SHA-256 of what stands before, which programs that load it do not look at: a file that is cut or damaged, and
would end the process without a word, is built again.
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
"""Stands between a library and its checksum."""

OURS = re.compile(r"network-[0-9a-f]{32}\.so|(building-|tmp)\w{8}")
"""Names in the folder: of libraries, and of folders in which this and earlier versions build them."""

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class CompilationError(RuntimeError):
    """There is no compiler, it did not succeed, or there is no safe place for what it makes."""


def cache_directory() -> Path:
    """Where libraries are kept: CGNNP_CACHE, or cgnnp in the user's cache directory."""
    if chosen := os.environ.get("CGNNP_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cgnnp"
    except RuntimeError as error:
        raise CompilationError(
            f"there is no home directory to keep libraries in: choose one with CGNNP_CACHE ({error})"
        ) from error


def make_private(directory: Path) -> None:
    """Make the folder of the libraries, which nobody else may read or write; one that others could change is emptied.

    Raises:
        CompilationError: it, or the link that leads to it, is another user's, others may write to it and it holds other
            things too, or it cannot be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = [directory.stat(), *([directory.lstat()] if directory.is_symlink() else [])]
    except OSError as error:
        raise CompilationError(f"{directory}: cannot be written ({error}): choose another with CGNNP_CACHE") from error
    if any(one.st_uid != os.getuid() for one in found):
        raise CompilationError(
            f"{directory}: belongs to another user, whose libraries are not loaded: choose your own with CGNNP_CACHE"
        )
    if found[0].st_mode & OTHERS_MAY_WRITE:
        mode = stat.S_IMODE(found[0].st_mode)
        if not _taken_back(directory):
            raise CompilationError(
                f"{directory}: others may write to it (mode {mode:o}), and could have their code run: empty it and run "
                f"`chmod 700 {directory}`, or choose another with CGNNP_CACHE"
            )
        log.info("%s: others could write to it (mode %o): closed to them; libraries are built again", directory, mode)


def _taken_back(directory: Path) -> bool:
    """Close a folder to others and delete the libraries in it; earlier versions made it with the user's umask.

    It stays as it is where it holds anything else, or is sticky as /tmp is: then it is not only cgnnp's.
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
    """A library with its checksum."""
    return library + SEAL + hashlib.sha256(library).hexdigest().encode()


def why_not(library: Path) -> str | None:
    """Why a library is not loaded; None for one that is ours and whole.

    Raises:
        FileNotFoundError: there is none.
    """
    found = library.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & OTHERS_MAY_WRITE:
        return "it is no file of this user's alone"
    with contextlib.suppress(OSError):
        content, _, checksum = library.read_bytes().rpartition(SEAL)
        if content and hashlib.sha256(content).hexdigest().encode() == checksum:
            return None
    return "it is damaged, or of an earlier version (no checksum, or another)"


def keep(built: Path, library: Path) -> None:
    """Put a library that was built into place, whole or not at all."""
    built.write_bytes(sealed(built.read_bytes()))
    built.chmod(0o600)
    sync(built)
    built.replace(library)
    sync(library.parent)
