"""The public client."""

from ._client import ESDBClient
from ._receiving import ChannelStatistics, EventChannel, Message, Receiving

__all__ = ["ChannelStatistics", "ESDBClient", "EventChannel", "Message", "Receiving"]
