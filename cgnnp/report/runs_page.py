"""Write the page that compares several runs."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from cgnnp.analysis.section import Section
from cgnnp.report.page import drawn, page_template
from cgnnp.runtime.storage import write_file


def write_runs_page(page: Path, title: str, sections: Sequence[Section], folders: Sequence[str]) -> Path:
    """Write a self-contained page with these sections.

    Args:
        page: path of the page.
        title: title of the page.
        sections: sections with tables and pictures.
        folders: folders of the runs, for the command that makes the page again.
    """
    images = drawn(sections)
    command = shlex.join(["python", "-m", "cgnnp.compare", f"runs=[{','.join(folders)}]"])
    values = {"title": title, "sections": sections, "images": images, "command": command}
    write_file(page, page_template("runs.html.j2").render(values))
    return page
