import time

import pytest

from cgnnp.runtime.yaml_files import read_yaml, stored_text
from cgnnp.workflow.run_folder import RunFolder

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
"""A few hundred bytes that stand for 9^12 values."""

DAMAGED = {
    "aliases": (BOMB, "has an alias"),
    "cut": ("a: [1, 2", "damaged YAML"),
    "brackets": ("[" * 2_000, "damaged YAML"),
    "code": ("a: !!python/object/apply:os.system ['true']", "damaged YAML"),
    "a list": ("[1, 2]", "holds list, expected a dictionary of settings"),
    "a word": ("nothing", "holds str"),
    "nothing": ("", "holds NoneType"),
    "a control character": ("a: \x00", "damaged YAML"),
    "a date that is none": ("a: 2026-99-99", "damaged YAML"),
    "two keys in one": ("? [a, b]\n: 1", "damaged YAML"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_settings_are_a_line_with_the_name_of_the_file(case, tmp_path):
    text, message = DAMAGED[case]
    started = time.monotonic()
    with pytest.raises(ValueError, match=message) as caught:
        read_yaml(text, "run/config.yaml")
    assert str(caught.value).startswith("run/config.yaml: ")
    assert "\n" not in str(caught.value)
    run = RunFolder(tmp_path)
    run.config_file.write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml"):
        run.begin("seed: 1\n")
    assert time.monotonic() - started < 20


def test_settings():
    assert read_yaml("a: {b: 1.5, c: null}\n1: x\n", "f") == {"a": {"b": 1.5, "c": None}, "1": "x"}


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ValueError, match=r"config\.yaml: missing or damaged"):
        stored_text(tmp_path / "config.yaml")
