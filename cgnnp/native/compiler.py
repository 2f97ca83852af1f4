"""Compiles generated C++ into a shared library, and keeps it for the next process."""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger("cgnnp")

COMPILERS = ("g++", "clang++", "c++")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffast-math", "-fno-math-errno", "-fPIC")
# Fast maths is for the code alone: given to the linker it would flush denormals to zero in the whole process.
LINK_FLAGS = ("-shared", "-pthread")
WIDE_VECTORS = "-mprefer-vector-width=512"


class CompilationError(RuntimeError):
    """There is no compiler, or it did not succeed."""


def turned_off() -> bool:
    """Whether CGNNP_COMPILED=0 in the environment turns compiled code off."""
    return os.environ.get("CGNNP_COMPILED", "1") == "0"


def can_compile() -> bool:
    """Whether there is a compiler that may be used."""
    return not turned_off() and find_compiler() is not None


@functools.cache
def find_compiler() -> str | None:
    """The C++ compiler: that of the environment variable CXX, or the first of g++, clang++, c++ on the path."""
    for name in (os.environ.get("CXX", ""), *COMPILERS):
        if name and (found := shutil.which(name)):
            return found
    return None


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


@functools.cache
def compiler_identity() -> str:
    """Compiler, its version and what it makes of this machine's processor: libraries are not shared across them."""
    compiler = find_compiler()
    if compiler is None:
        raise CompilationError("no C++ compiler (g++, clang++ or the one named by CXX)")
    asked = _run([compiler, "-march=native", "-E", "-dM", "-x", "c++", os.devnull])
    version = _run([compiler, "--version"]).splitlines()[:1]
    return "\n".join([compiler, *version, platform.machine(), *sorted(asked.splitlines())])


def compile_library(source: str) -> ctypes.CDLL:
    """The library of a source text, from the cache where it is there.

    Raises:
        CompilationError: no compiler, or what it said.
    """
    if not can_compile():
        raise CompilationError("no C++ compiler, or CGNNP_COMPILED=0")
    identity = compiler_identity()
    digest = hashlib.sha256("\0".join([source, *FLAGS, *LINK_FLAGS, identity]).encode()).hexdigest()[:32]
    library = cache_directory() / f"network-{digest}.so"
    if not library.exists():
        _build(source, library)
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise CompilationError(f"{library}: cannot be loaded ({error}): delete it") from error


def _build(source: str, library: Path) -> None:
    """Compile into place; another process may be doing the same, and nothing half-written is ever seen."""
    compiler = find_compiler() or ""
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            code, thing, built = (Path(folder) / name for name in ("network.cpp", "network.o", "network.so"))
            code.write_text(source)
            log.info("compiling for this processor, once: %s", library)
            try:
                _run([compiler, *FLAGS, WIDE_VECTORS, "-c", code, "-o", thing])
            except CompilationError:  # a processor, or a compiler, without such vectors
                _run([compiler, *FLAGS, "-c", code, "-o", thing])
            _run([compiler, *LINK_FLAGS, thing, "-o", built])
            built.replace(library)
    except OSError as error:
        raise CompilationError(f"{library.parent}: cannot be written ({error}): choose another with CGNNP_CACHE") from error


def _run(command: Sequence[str | Path]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise CompilationError(f"{command[0]} cannot be run ({error})") from error
    if done.returncode != 0:
        raise CompilationError(f"{command[0]} failed: {done.stderr[:2000]}")
    return done.stdout
