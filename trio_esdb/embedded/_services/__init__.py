"""The services of the embedded node: the handler of each path."""

from __future__ import annotations

from collections.abc import Mapping

from trio_esdb._transport._handlers import Failure, Handler

from ._accounts import first_accounts
from ._appending import append_method
from ._authentication import Authentication
from ._batches import batch_append_method
from ._context import NodeContext
from ._deleting import delete_method, tombstone_method
from ._failures import unimplemented
from ._feed import Feed
from ._gossip import SERVER_VERSION, features_method, gossip_method
from ._group_methods import group_methods
from ._groups import Groups
from ._membership import Member, Membership, State
from ._operations import (
    done_at_once,
    resign_method,
    set_priority_method,
    shutdown_method,
    start_scavenge_method,
    stats_method,
    stop_scavenge_method,
)
from ._reading import read_method
from ._user_methods import user_methods
from ._users import Users

__all__ = [
    "SERVER_VERSION",
    "Authentication",
    "Feed",
    "Groups",
    "Member",
    "Membership",
    "NodeContext",
    "State",
    "Users",
    "first_accounts",
    "methods_of",
    "unknown_to",
]

_CLIENT = "/event_store.client."
_STREAMS = f"{_CLIENT}streams.Streams/"
_OPERATIONS = f"{_CLIENT}operations.Operations/"
_USERS = f"{_CLIENT}users.Users/"
_GROUPS = f"{_CLIENT}persistent_subscriptions.PersistentSubscriptions/"
_FEATURES = f"{_CLIENT}server_features.ServerFeatures/GetSupportedMethods"


def methods_of(context: NodeContext, groups: Groups) -> dict[str, Handler]:
    """The handlers of all calls by their paths, in the order in which a real node lists its methods."""
    methods: dict[str, Handler] = {_GROUPS + name: method for name, method in group_methods(context, groups).items()}
    methods |= {_USERS + name: method for name, method in user_methods(context).items()}
    methods |= {
        f"{_STREAMS}Read": read_method(context),
        f"{_STREAMS}Append": append_method(context),
        f"{_STREAMS}Delete": delete_method(context),
        f"{_STREAMS}Tombstone": tombstone_method(context),
        f"{_STREAMS}BatchAppend": batch_append_method(context),
        f"{_OPERATIONS}StartScavenge": start_scavenge_method(context),
        f"{_OPERATIONS}StopScavenge": stop_scavenge_method(),
        f"{_OPERATIONS}Shutdown": shutdown_method(context),
        f"{_OPERATIONS}MergeIndexes": done_at_once(),
        f"{_OPERATIONS}ResignNode": resign_method(context),
        f"{_OPERATIONS}SetNodePriority": set_priority_method(context),
        f"{_OPERATIONS}RestartPersistentSubscriptions": done_at_once(),
        f"{_CLIENT}gossip.Gossip/Read": gossip_method(context),
        f"{_CLIENT}monitoring.Monitoring/Stats": stats_method(context),
    }
    methods[_FEATURES] = features_method([*methods, _FEATURES])
    return methods


def unknown_to(methods: Mapping[str, Handler], path: str) -> Failure:
    """The failure of a call for which there is no handler."""
    services = {known.rpartition("/")[0] for known in methods}
    return unimplemented("Method" if path.rpartition("/")[0] in services else "Service")
