"""Connection strings: the ``uri`` of an ``ESDBClient``."""

from ._connection_string import SCHEMES, parse
from ._options import CONNECTION_NAME_ALLOWED, OPTIONS, Option, is_connection_name
from ._settings import DEFAULT_PORT, Host, Settings

__all__ = [
    "CONNECTION_NAME_ALLOWED",
    "DEFAULT_PORT",
    "OPTIONS",
    "SCHEMES",
    "Host",
    "Option",
    "Settings",
    "is_connection_name",
    "parse",
]
