import pytest

from cgnnp.evaluators.cpu.compiler import find_compiler


@pytest.fixture(autouse=True)
def needs_a_compiler():
    if find_compiler() is None:
        pytest.skip("no C++ compiler")
