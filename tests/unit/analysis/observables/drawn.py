"""What all sections of observables must be: sentences, tables with a cell for each column, pictures that can be drawn."""

import json

import numpy as np
from matplotlib.image import imread

from cgnnp.analysis.figures import DARK, LIGHT, png
from cgnnp.analysis.observables.observable import Finding
from cgnnp.analysis.section import Picture, Section, Table


def check_section(finding: Finding, folder) -> Section:
    """Every part of it, in both themes; the rows are plain data."""
    entries = finding.entries("x")
    assert json.loads(json.dumps(entries, allow_nan=False)) == entries
    found = finding.section()
    assert found.title
    assert found.parts
    for part in found.parts:
        if isinstance(part, Table):
            assert part.rows
            assert {len(row) for row in part.rows} == {len(part.columns)}
            assert set(part.words) <= set(part.columns)
        elif isinstance(part, Picture):
            for theme in (LIGHT, DARK):
                figure = part.draw(theme)
                (folder / "figure.png").write_bytes(png(figure))
                assert len(np.unique(imread(folder / "figure.png")[..., 0])) > 20  # not empty paper
                assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes if axes.get_xlabel())
            assert len({tuple(draw(LIGHT).get_size_inches()) for draw in part.panels}) <= 1
        else:
            assert isinstance(part, str)
            assert part
    for columns, rows in finding.tables().values():
        assert {len(row) for row in rows} == {len(columns)}
    return found
