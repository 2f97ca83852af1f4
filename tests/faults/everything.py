"""The one list of attacks, and the short one of the default tests."""

from faults import bad_settings, code_execution, damage, wrong_data
from faults.outcomes import Attack, chosen


def attacks() -> list[Attack]:
    """All of them but for the kills, which take long and are in `faults.kills`."""
    return [*damage.attacks(), *wrong_data.attacks(), *bad_settings.attacks(), *code_execution.attacks()]


SHORT = {
    "damaged files": 15,
    "bit flips": 12,
    "wrong data": 12,
    "sound data": 3,
    "settings": 10,
    "fuzzed JSON": 7,
    "wrong manifests": 7,
    "code execution": 12,
}
"""How many of each category the default tests try."""


def short() -> list[Attack]:
    """Those that the default tests try."""
    quick = [attack for attack in attacks() if not attack.long]
    return [
        attack
        for category, number in SHORT.items()
        for attack in chosen([one for one in quick if one.category == category], number)
    ]
