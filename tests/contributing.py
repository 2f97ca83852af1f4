"""The worked examples of CONTRIBUTING.md, which tests run as they stand there."""

import importlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks_of(section: str) -> list[str]:
    """The code of a section, block by block: a module, then a configuration."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (found,) = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^```(?:python|yaml)\n(.*?)^```", found, re.DOTALL | re.MULTILINE)
    assert blocks, section
    return blocks


def added(monkeypatch, folder: Path, section: str, module: str, option: str) -> None:
    """Let a section's file be a module (`priors.soft_repulsion`), its YAML an option (`prior/soft_repulsion`).

    hydra finds the option with `hydra.searchpath=[file://folder/conf]`.
    """
    code, values = blocks_of(section)
    room, _, name = module.rpartition(".")
    (folder / room).mkdir(parents=True)
    (folder / room / f"{name}.py").write_text(code)
    package = importlib.import_module(f"cgnnp.{room}")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder / room)])
    monkeypatch.delitem(sys.modules, f"cgnnp.{module}", raising=False)
    file = folder / "conf" / f"{option}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(values)
