"""Compiles generated C++ into a shared library, and keeps it for the next process."""

import contextlib
import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cgnnp.evaluators.cpu.cache import CompilationError, cache_directory, keep, make_private, why_not

log = logging.getLogger("cgnnp")

COMPILERS = ("g++", "clang++", "c++")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffast-math", "-fno-math-errno", "-fPIC")
# Fast maths is for the code alone: given to the linker it would flush denormals to zero in the whole process.
LINK_FLAGS = ("-shared", "-pthread")
WIDE_VECTORS = "-mprefer-vector-width=512"


TIME_LIMIT_S = 600.0
"""For one call of the compiler, which takes 2 to 10 s, a minute where many share the machine: beyond, something hangs."""

SWITCH = "CGNNP_COMPILED"
ON, OFF = ("1", "true", "yes", "on", ""), ("0", "false", "no", "off")


class CompilerHangs(CompilationError):
    """The compiler took longer than anybody waits."""


def turned_off() -> bool:
    """Whether CGNNP_COMPILED in the environment turns compiled code off.

    Raises:
        ValueError: it is neither on nor off.
    """
    text = os.environ.get(SWITCH, "")
    if text.lower() not in ON + OFF:
        raise ValueError(f"{SWITCH}={text}: must be 1, true, yes or on, or 0, false, no or off (compiled code is not used)")
    return text.lower() in OFF


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
    if turned_off():
        raise CompilationError(f"{SWITCH}={os.environ[SWITCH]}")
    identity = compiler_identity()
    digest = hashlib.sha256("\0".join([source, *FLAGS, *LINK_FLAGS, identity]).encode()).hexdigest()[:32]
    library = cache_directory() / f"network-{digest}.so"
    make_private(library.parent)
    try:
        reason = why_not(library)
    except OSError:
        reason = "it is not there"
    else:
        if reason:
            log.info("%s is not loaded, and built again: %s", library, reason)
    if reason:
        _build(source, library)
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise CompilationError(f"{library}: cannot be loaded ({error}): delete it") from error


def _build(source: str, library: Path) -> None:
    """Compile into place; another process may be doing the same, and nothing half-written is ever seen."""
    compiler = find_compiler() or ""
    try:
        with tempfile.TemporaryDirectory(dir=library.parent, prefix="building-") as folder:
            code, thing, built = (Path(folder) / name for name in ("network.cpp", "network.o", "network.so"))
            code.write_text(source)
            log.info("compiling for this processor, once: %s", library)
            try:
                _run([compiler, *FLAGS, WIDE_VECTORS, "-c", code, "-o", thing])
            except CompilerHangs:
                raise
            except CompilationError:  # a processor, or a compiler, without such vectors
                _run([compiler, *FLAGS, "-c", code, "-o", thing])
            _run([compiler, *LINK_FLAGS, thing, "-o", built])
            keep(built, library)
    except OSError as error:
        raise CompilationError(f"{library.parent}: cannot be written ({error}): choose another with CGNNP_CACHE") from error


_hung: list[str] = []
"""Commands that hung in this process, which asks for no more."""


def _run(command: Sequence[str | Path]) -> str:
    if _hung:
        raise CompilerHangs(_hung[0])
    pipe = subprocess.PIPE
    try:
        # In a group of its own, so that what a compiler starts ends with it.
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    except OSError as error:
        raise CompilationError(f"{command[0]} cannot be run ({error})") from error
    with process:
        try:
            output, errors = process.communicate(timeout=TIME_LIMIT_S)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            _hung.append(f"{command[0]} took longer than {TIME_LIMIT_S:g} s and was stopped: is it what it should be?")
            raise CompilerHangs(_hung[0]) from error
    if process.returncode != 0:
        raise CompilationError(f"{command[0]} failed: {errors[:2000]}")
    return output
