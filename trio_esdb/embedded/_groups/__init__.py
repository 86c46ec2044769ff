"""Groups of consumers (persistent subscriptions), as plain data and functions that change it."""

from ._consumers import Consumer
from ._group import Group, Outlet
from ._statistics import observed
from ._values import DISPATCH_TO_SINGLE, STRATEGIES, Candidate, GroupSettings, Item, Place, Settlement, Skipped

__all__ = [
    "DISPATCH_TO_SINGLE",
    "STRATEGIES",
    "Candidate",
    "Consumer",
    "Group",
    "GroupSettings",
    "Item",
    "Outlet",
    "Place",
    "Settlement",
    "Skipped",
    "observed",
]
