import pytest

from cgnnp.runtime.settings import checked_settings, did_you_mean, unknown_setting


def target(
    atoms: object, *, count: int = 1, length: float = 1.0, name: str = "", on: bool = False, most: int | None = None
) -> None:
    """Takes all kinds."""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cuont": 1}, r"no setting .cuont.. Did you mean count\? Known: atoms, count"),
        ({"count": 1.5}, r"^count=1.5: must be a whole number"),
        ({"count": True}, r"^count=True: must be a whole number"),
        ({"count": None}, r"^count=None: must be a whole number"),
        ({"length": "1"}, r"^length='1': must be a number"),
        ({"length": float("nan")}, r"^length=nan: must be a number"),
        ({"name": 3}, r"^name=3: must be text"),
        ({"on": 1}, r"^on=1: must be true or false"),
        ({"most": "all"}, r"^most='all': must be a whole number or null"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        checked_settings(target, settings, "g")


def test_accepts_and_makes_whole_numbers_floats_where_floats_are_meant():
    settings = {"count": 2, "length": 3, "name": "a", "on": True, "most": None}
    checked = checked_settings(target, settings, "g")
    assert checked == settings
    assert isinstance(checked["length"], float)
    assert isinstance(checked["count"], int)
    assert checked_settings(lambda **anything: None, {"x": object}, "g") == {"x": object}


def test_hints_only_where_something_is_close():
    assert did_you_mean("neqip", ["nequip", "schnet"], "model=") == " Did you mean model=nequip?"
    assert did_you_mean("zzz", ["nequip"]) == ""
    assert unknown_setting("sed", ["seed"]) == "there is no setting 'sed'. Did you mean seed? Known: seed"
