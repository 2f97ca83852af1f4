import ctypes
import subprocess

import pytest

from cgnnp.native import compiler
from cgnnp.native.compiler import CompilationError, cache_directory, compile_library

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


def test_a_damaged_library_is_named(cache, tmp_path, monkeypatch):
    compile_library(SOURCE)
    (library,) = cache.iterdir()
    other = tmp_path / "other"
    other.mkdir()
    (other / library.name).write_bytes(b"not a library")
    monkeypatch.setenv("CGNNP_CACHE", str(other))
    with pytest.raises(CompilationError, match=rf"{library.name}: cannot be loaded .* delete it"):
        compile_library(SOURCE)


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
