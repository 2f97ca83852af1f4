"""What all sections of observables must be: sentences, tables with a cell for each column, pictures that can be drawn."""

import json

import numpy as np
from matplotlib.image import imread

from cgnnp.analysis.figures import DARK, LIGHT, png
from cgnnp.analysis.observables.observable import Finding
from cgnnp.analysis.section import Picture, Section, Table


def check_section(finding: Finding, folder) -> Section:
    """Every part of it; pictures are not empty paper, and drawn in both themes. The entries are plain data."""
    entries = finding.entries("x")
    assert json.loads(json.dumps(entries, allow_nan=False)) == entries
    found = finding.section()
    assert found.title
    assert found.parts or found.notes
    for part in found.parts:
        if isinstance(part, Table):
            assert part.rows
            assert {len(row) for row in part.rows} == {len(part.columns)}
            assert set(part.words) <= set(part.columns)
        elif isinstance(part, Picture):
            figure = part.draw(LIGHT)
            assert part.draw(DARK).get_facecolor() != figure.get_facecolor()
            (folder / "figure.png").write_bytes(png(figure))
            assert len(np.unique(imread(folder / "figure.png")[..., 0])) > 20
            assert len({tuple(draw(LIGHT).get_size_inches()) for draw in part.panels}) <= 1
        else:
            assert isinstance(part, str)
            assert part
    for columns, rows in finding.tables().values():
        assert {len(list(row)) for row in rows} == {len(columns)}
    return found
