import pytest

from cgnnp.runtime.options import target


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "my_beads",
            r"mapping\._target_=my_beads: must be a module and a function.*mapping\._target_=my_beads\.my_function",
        ),
        ("", r"must be a module and a function.*mapping\._target_=my_module\.my_function"),
        (
            "os.path",
            r"os\.path: is a module, but must be a function or class: write mapping\._target_=os\.path\.my_function",
        ),
        ("math.pi", r"math\.pi: is a float, but must be a function or class$"),
        ("math.no_such", r"math\.no_such: cannot be imported"),
    ],
)
def test_targets_that_are_no_function_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        target({"_target_": name}, "mapping")


def test_a_target_may_be_any_function_or_class():
    assert target({"_target_": "math.sqrt"}, "mapping")(4.0) == 2.0
