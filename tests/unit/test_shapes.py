"""Signatures of cgnnp are checked while tests run."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from shapes import COMPILED_BY_TORCHSCRIPT

from cgnnp.frames.boxes import box_heights
from cgnnp.models.weights import load_weights


def test_arrays_of_another_shape_are_refused():
    np.testing.assert_allclose(box_heights(2.0 * np.eye(3)), 2.0, rtol=1e-12)
    with pytest.raises(TypeCheckError, match=r"box_heights(.|\n)*'box'"):
        box_heights(np.eye(4))


def test_arguments_of_another_kind_are_refused():
    with pytest.raises(TypeCheckError, match=r"load_weights(.|\n)*'model'"):
        load_weights("model", {}, Path("weights"), Path("model.json"))


def test_what_is_not_checked_is_there():
    assert all(find_spec(name) for name in COMPILED_BY_TORCHSCRIPT)
