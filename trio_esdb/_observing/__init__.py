"""What a program can see of a client at work: connection events, the log, instruments."""

from ._instruments import CallInfo, Instrument, Instruments
from ._listener import ConnectionEvents
from ._observer import Observer

__all__ = ["CallInfo", "ConnectionEvents", "Instrument", "Instruments", "Observer"]
