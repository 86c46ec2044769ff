"""The public client."""

from ._arguments import ExpectedPosition
from ._channel import ChannelStatistics, EventChannel
from ._esdb_client import ESDBClient
from ._feed import SubscriptionMessage
from ._group_channel import GroupChannel

__all__ = ["ChannelStatistics", "ESDBClient", "EventChannel", "ExpectedPosition", "GroupChannel", "SubscriptionMessage"]
