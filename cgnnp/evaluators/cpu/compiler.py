"""Compile generated C++ into a shared library, which is kept on disk for later processes."""

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
# -ffast-math must not be passed to the linker, since it would then flush denormals to zero in the whole process.
LINK_FLAGS = ("-shared", "-pthread")
WIDE_VECTORS = "-mprefer-vector-width=512"


TIME_LIMIT_S = 600.0
"""Time limit for one call of the compiler, s. A call normally takes 2 to 10 s, or a minute on a busy machine."""

SWITCH = "CGNNP_COMPILED"
ON, OFF = ("1", "true", "yes", "on", ""), ("0", "false", "no", "off")


class CompilerHangs(CompilationError):
    """A call of the compiler exceeded `TIME_LIMIT_S`."""


def turned_off() -> bool:
    """Whether the environment variable CGNNP_COMPILED turns compiled code off.

    Raises:
        ValueError: the value of the variable means neither on nor off.
    """
    text = os.environ.get(SWITCH, "")
    if text.lower() not in ON + OFF:
        raise ValueError(f"{SWITCH}={text}: must be 1, true, yes or on, or 0, false, no or off to run without compiled code")
    return text.lower() in OFF


def can_compile() -> bool:
    """Whether compiled code is turned on and there is a C++ compiler."""
    return not turned_off() and find_compiler() is not None


@functools.cache
def find_compiler() -> str | None:
    """Return the path of the C++ compiler: the environment variable CXX, or the first of g++, clang++, c++ that is found."""
    for name in (os.environ.get("CXX", ""), *COMPILERS):
        if name and (found := shutil.which(name)):
            return found
    return None


@functools.cache
def compiler_identity() -> str:
    """Describe the compiler, its version and the processor. Libraries are not shared between different descriptions.

    Raises:
        CompilationError: there is no compiler, or it cannot be run.
    """
    compiler = find_compiler()
    if compiler is None:
        raise CompilationError("no C++ compiler was found: install g++ or clang++, or set CXX to the name of a compiler")
    asked = _run([compiler, "-march=native", "-E", "-dM", "-x", "c++", os.devnull])
    version = _run([compiler, "--version"]).splitlines()[:1]
    return "\n".join([compiler, *version, platform.machine(), *sorted(asked.splitlines())])


def compile_library(source: str) -> ctypes.CDLL:
    """Load the library of a source text from the cache, after compiling it if necessary.

    Raises:
        CompilationError: compiled code is turned off, there is no compiler, the compilation failed (the message has the
            output of the compiler), or the library cannot be stored or loaded.
    """
    if turned_off():
        raise CompilationError(f"{SWITCH}={os.environ[SWITCH]} turns compiled code off")
    identity = compiler_identity()
    digest = hashlib.sha256("\0".join([source, *FLAGS, *LINK_FLAGS, identity]).encode()).hexdigest()[:32]
    library = cache_directory() / f"network-{digest}.so"
    make_private(library.parent)
    try:
        reason = why_not(library)
    except OSError:
        reason = "it does not exist"
    else:
        if reason:
            log.info("%s is not loaded, but built again: %s", library, reason)
    if reason:
        _build(source, library)
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise CompilationError(f"{library}: cannot be loaded ({error}): delete this file") from error


def _build(source: str, library: Path) -> None:
    """Compile a library and move it into the cache atomically, since other processes may compile the same library."""
    compiler = find_compiler() or ""
    try:
        with tempfile.TemporaryDirectory(dir=library.parent, prefix="building-") as folder:
            code, thing, built = (Path(folder) / name for name in ("network.cpp", "network.o", "network.so"))
            code.write_text(source)
            log.info("compiling the C++ code for this processor (needed only once): %s", library)
            try:
                _run([compiler, *FLAGS, WIDE_VECTORS, "-c", code, "-o", thing])
            except CompilerHangs:
                raise
            except CompilationError:  # the processor or the compiler does not support such wide vectors
                _run([compiler, *FLAGS, "-c", code, "-o", thing])
            _run([compiler, *LINK_FLAGS, thing, "-o", built])
            keep(built, library)
    except OSError as error:
        raise CompilationError(
            f"{library.parent}: cannot be written ({error}): choose another folder with CGNNP_CACHE"
        ) from error


_hung: list[str] = []
"""Message about a compiler call that hung in this process, after which the compiler is not called again. Usually empty."""


def _run(command: Sequence[str | Path]) -> str:
    if _hung:
        raise CompilerHangs(_hung[0])
    pipe = subprocess.PIPE
    try:
        # The compiler gets its own process group, so that its child processes can be killed with it.
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    except OSError as error:
        raise CompilationError(f"the C++ compiler {command[0]} cannot be run ({error})") from error
    with process:
        try:
            output, errors = process.communicate(timeout=TIME_LIMIT_S)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            _hung.append(f"{command[0]} took longer than {TIME_LIMIT_S:g} s and was stopped: is it really a C++ compiler?")
            raise CompilerHangs(_hung[0]) from error
    if process.returncode != 0:
        raise CompilationError(f"the C++ compiler {command[0]} failed: {errors[:2000]}")
    return output
