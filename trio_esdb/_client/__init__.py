"""The public client."""

from ._client import ESDBClient
from ._receiving import EventChannel, Message, Receiving

__all__ = ["ESDBClient", "EventChannel", "Message", "Receiving"]
