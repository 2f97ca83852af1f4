"""The one list of attacks, and the short one of the default tests."""

from faults import damage
from faults.outcomes import Attack, chosen


def attacks() -> list[Attack]:
    """All of them."""
    return damage.attacks()


def short() -> list[Attack]:
    """Those that the default tests try."""
    return chosen([attack for attack in attacks() if not attack.long], 100)
