import ctypes
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cgnnp.evaluators.cpu import cache as cache_module
from cgnnp.evaluators.cpu import compiler
from cgnnp.evaluators.cpu.cache import SEAL, CompilationError, cache_directory, why_not
from cgnnp.evaluators.cpu.compiler import OFF, compile_library, turned_off

SOURCE = 'extern "C" int answer() { return 42; }\n'


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CGNNP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_library_is_compiled_once(cache, monkeypatch):
    assert compile_library(SOURCE).answer() == 42
    (library,) = cache.iterdir()
    monkeypatch.setattr(compiler, "_run", lambda command: pytest.fail("compiled again"))
    assert compile_library(SOURCE).answer() == 42
    assert list(cache.iterdir()) == [library]


def test_another_source_is_another_library(cache):
    assert compile_library(SOURCE).answer() == 42
    assert compile_library(SOURCE.replace("42", "43")).answer() == 43
    assert len(list(cache.iterdir())) == 2


def test_what_the_compiler_says_is_told_and_nothing_stays(cache):
    with pytest.raises(CompilationError, match=r"failed: .*network\.cpp.*no_such_type"):
        compile_library('extern "C" no_such_type answer();\n')
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CGNNP_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CompilationError, match=r"cannot be written .* CGNNP_CACHE"):
        compile_library(SOURCE)


def only_library(cache):
    (library,) = cache.iterdir()
    return library


def put(library, content):
    """In a file of its own: this process has the other one in its memory."""
    library.unlink()
    library.write_bytes(content)
    library.chmod(0o600)


def in_a_process_of_its_own(cache, code="print(compile_library(SOURCE).answer())"):
    """Exit code and output: what ends a process must not end the tests."""
    header = f"from cgnnp.evaluators.cpu.compiler import compile_library\nSOURCE = {SOURCE!r}\n"
    environment = {**os.environ, "CGNNP_CACHE": str(cache)}
    return subprocess.run([sys.executable, "-c", header + code], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_library_that_was_cut_is_built_again(cache, kept):
    """Loaded, it ends the process with SIGBUS."""
    compile_library(SOURCE)
    library = only_library(cache)
    whole = library.read_bytes()
    put(library, whole[: int(kept * len(whole))])
    done = in_a_process_of_its_own(cache)
    assert (done.returncode, done.stdout) == (0, "42\n")
    assert library.stat().st_size == len(whole)


def test_a_flipped_bit_is_found_and_said(cache, caplog, monkeypatch):
    compile_library(SOURCE)
    library = only_library(cache)
    content = bytearray(library.read_bytes())
    content[len(content) // 2] ^= 1
    put(library, content)
    monkeypatch.setattr(compiler.log, "propagate", True)
    with caplog.at_level("INFO"):
        assert compile_library(SOURCE).answer() == 42
    assert f"{library} is not loaded, but built again: it is damaged" in caplog.text
    assert why_not(library) is None


def test_a_library_of_before_there_were_checksums_is_built_again(cache):
    compile_library(SOURCE)
    library = only_library(cache)
    put(library, library.read_bytes().rpartition(SEAL)[0])
    assert compile_library(SOURCE).answer() == 42
    assert SEAL in library.read_bytes()


def test_what_others_may_write_is_not_loaded(cache):
    compile_library(SOURCE)
    library = only_library(cache)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(library.stat().st_mode) == 0o600
    library.chmod(0o666)
    assert "others may write to it" in why_not(library)
    assert compile_library(SOURCE).answer() == 42
    assert stat.S_IMODE(library.stat().st_mode) == 0o600


def planted(cache):
    """A library that says something else in the place of ours, as whole as one of ours."""
    compile_library(SOURCE)
    library = only_library(cache)
    compile_library(SOURCE.replace("42", "666"))
    (other,) = set(cache.iterdir()) - {library}
    other.replace(library)
    assert why_not(library) is None


@pytest.mark.parametrize("mode", [0o775, 0o777, 0o770])
def test_a_folder_of_an_earlier_version_is_closed_to_others_and_filled_again(mode, cache, caplog, monkeypatch):
    """It was made with the umask, which is 002 on some systems: what others may have put there is not loaded."""
    planted(cache)
    (cache / "tmpab_c12de").mkdir()
    cache.chmod(mode)
    monkeypatch.setattr(cache_module.log, "propagate", True)
    with caplog.at_level("INFO"):
        assert compile_library(SOURCE).answer() == 42
    assert f"{cache}: other users could write to this folder (mode {mode:o}), but no longer can: its" in caplog.text
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert len(list(cache.glob("*.so"))) == 1


@pytest.mark.parametrize("mode", [0o775, 0o1777])
def test_a_folder_that_is_not_only_ours_stays_as_it_is(mode, cache):
    """CGNNP_CACHE=/tmp, or a folder of a project: closing it to others would do more than was asked."""
    planted(cache)
    if mode == 0o775:
        (cache / "notes.txt").write_text("of somebody")
    cache.chmod(mode)
    names = set(cache.iterdir())
    with pytest.raises(CompilationError, match=rf"others may write to it \(mode {mode:o}\).*chmod 700"):
        compile_library(SOURCE)
    assert set(cache.iterdir()) == names
    assert stat.S_IMODE(cache.stat().st_mode) == mode


def test_a_link_in_the_cache_is_not_followed(cache, tmp_path):
    compile_library(SOURCE)
    library = only_library(cache)
    library.rename(tmp_path / "elsewhere.so")
    library.symlink_to(tmp_path / "elsewhere.so")
    assert compile_library(SOURCE).answer() == 42
    assert not library.is_symlink()


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to others")
def test_what_belongs_to_another_user_is_not_loaded(cache, tmp_path, monkeypatch):
    compile_library(SOURCE)
    library = only_library(cache)
    os.chown(library, 12345, 12345)
    assert "belongs to another user" in why_not(library)
    assert compile_library(SOURCE).answer() == 42
    os.chown(cache, 12345, 12345)
    with pytest.raises(CompilationError, match="belongs to another user"):
        compile_library(SOURCE)
    os.chown(cache, 0, 0)
    (tmp_path / "link").symlink_to(cache)
    monkeypatch.setenv("CGNNP_CACHE", str(tmp_path / "link"))
    assert compile_library(SOURCE).answer() == 42
    os.chown(tmp_path / "link", 12345, 12345, follow_symlinks=False)
    with pytest.raises(CompilationError, match="belongs to another user"):
        compile_library(SOURCE)


def test_a_compiler_that_hangs_is_stopped_with_what_it_started(cache, tmp_path, monkeypatch):
    """And is not asked again."""
    script = tmp_path / "slow"
    script.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/child\nwait\n")
    script.chmod(0o755)
    monkeypatch.setattr(compiler, "find_compiler", lambda: str(script))
    monkeypatch.setattr(compiler, "compiler_identity", lambda: "slow")
    monkeypatch.setattr(compiler, "TIME_LIMIT_S", 0.5)
    monkeypatch.setattr(compiler, "_hung", [])
    started = time.monotonic()
    for _ in range(3):
        with pytest.raises(CompilationError, match=r"slow took longer than 0\.5 s and was stopped"):
            compile_library(SOURCE)
    assert time.monotonic() - started < 5
    child = int((tmp_path / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("text", "off"), [*((t, False) for t in ("1", "true", "Yes", "on", "")), *((t, True) for t in OFF)])
def test_the_switch(text, off, monkeypatch):
    monkeypatch.setenv("CGNNP_COMPILED", text)
    assert turned_off() is off


def test_a_switch_that_is_neither_on_nor_off(monkeypatch):
    monkeypatch.setenv("CGNNP_COMPILED", "maybe")
    with pytest.raises(ValueError, match="CGNNP_COMPILED=maybe: must be 1, true, yes or on, or 0, false"):
        turned_off()


def test_without_a_compiler(cache, monkeypatch):
    monkeypatch.setattr(compiler, "find_compiler", lambda: None)
    compiler.compiler_identity.cache_clear()
    try:
        with pytest.raises(CompilationError, match="no C\\+\\+ compiler"):
            compile_library(SOURCE)
    finally:
        compiler.compiler_identity.cache_clear()


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("CGNNP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "cgnnp"


def test_fast_maths_stays_in_the_library(cache):
    """Linked with it, a library would flush denormal numbers to zero in the whole process."""
    compile_library(SOURCE)
    tiny = ctypes.c_double(2.0**-1060)
    assert tiny.value * 0.5 == 2.0**-1061
    (library,) = cache.iterdir()
    symbols = subprocess.run(["nm", library], capture_output=True, text=True, check=True)
    assert "set_fast_math" not in symbols.stdout
