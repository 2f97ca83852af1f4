"""The pages of measured results are what their rows say; glossary and citation are sound."""

import datetime
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))
from pages import PART, RESULTS, filled, number  # noqa: E402

FILES = sorted(RESULTS.glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_page_has_the_rows_that_were_measured(file):
    page, found = file.with_suffix(".md").read_text(), json.loads(file.read_text())
    assert filled(page, found) == page, f"python scripts/pages.py examples/results/{file.name}"
    patterns = [part["pattern"] for part in PART.finditer(page) if part["pattern"]]
    for row in found["rows"]:
        assert sum(bool(re.search(pattern, row["figure"])) for pattern in patterns) == 1, row["figure"]
    assert len(found["rows"]) == page.count("\n| ") - page.count("| figure | value |") - extra_lines(page)


def extra_lines(page: str) -> int:
    """Lines of tables that are not of rows."""
    rest = PART.sub("", page)
    return rest.count("\n| ")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_page_says_when_how_and_of_which_code(file):
    page, found = file.with_suffix(".md").read_text(), json.loads(file.read_text())
    assert page.startswith("# ")
    assert datetime.date.fromisoformat(found["date"]) >= datetime.date(2026, 11, 1)
    assert re.fullmatch(r"[0-9a-f]{7,}(-dirty)?", found["commit"])
    assert found["date"] in page
    assert found["commit"] in page
    assert found["command"] in page
    assert any((ROOT / script).is_file() for script in re.findall(r"scripts/\S+\.py", page))


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.md")), ids=lambda file: file.stem)
def test_links_and_pictures_of_a_page_are_there(file):
    page = file.read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (file.parent / target).is_file(), target
    pictures = re.findall(r"^!\[(.*)\]\((.*)\)\n\n(.*)", page, flags=re.M)
    assert len(pictures) == page.count("![")
    for alt, _, caption in pictures:
        assert len(alt) > 20
        assert caption.startswith("*")


def test_every_picture_and_every_page_is_named_on_a_page():
    text = "".join(file.read_text() for file in RESULTS.glob("*.md"))
    named = {Path(target).name for target in re.findall(r"\]\(([^)#:]+)\)", text)}
    assert {file.name for file in RESULTS.iterdir() if file.suffix != ".json"} - {"README.md"} == named
    assert {file.stem for file in FILES} == {file.stem for file in RESULTS.glob("*.md")} - {"README"}


def test_a_changed_row_changes_its_table_alone():
    page = "before\n<!-- measured -->\n<!-- end -->\n<!-- rows ^D -->\nold\n<!-- end -->\nafter"
    row = {"figure": "D of g(r)", "value": 0.02, "stderr": 0.001, "target": "<= 0.01", "met": False}
    found = {"date": "2026-11-30", "commit": "abcdef0", "command": "python x.py", "rows": [row, row | {"figure": "R2"}]}
    once = filled(page, found)
    assert "| D of g(r) | 0.02 ± 0.001 **not met** | <= 0.01 |" in once
    assert "old" not in once
    assert "R2" not in once
    assert once.startswith("before\n")
    assert once.endswith("\nafter")
    assert filled(once, found) == once
    assert number(37756.0) == "37,756"


def test_the_citation_is_of_this_version():
    """As the schema of CFF 1.2.0 has it: these four entries must be there, and an author is an entity with a name."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert (citation["title"], citation["version"], citation["license"]) == (
        project["name"],
        project["version"],
        project["license"],
    )
    assert citation["authors"] == [{"name": "cgnnp maintainers"}]


def test_the_glossary_is_in_order_and_complete():
    terms = re.findall(r"^\*\*(.+?)\.\*\*", (ROOT / "docs" / "glossary.md").read_text(), flags=re.M)
    assert len(terms) >= 25
    key = lambda term: re.sub(r"[^a-z0-9]", "", term.lower())  # noqa: E731
    assert terms == sorted(terms, key=key)
    text = " ".join(terms)
    for wanted in ("g-YBG", "Certified", "Second draws", "Bumps", "Knots", "EMA", "R2_max", "PMF", "Wall", "Clamp", "eps_r"):
        assert wanted in text
