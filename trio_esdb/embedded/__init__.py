"""An EventStoreDB node inside the process, for development and tests.

    async with EmbeddedNode() as node:
        stream = await node.connect()  # a client's end of a connection to it

It speaks the real protocol, over memory streams, TCP or any other byte stream, and answers as a single, insecure node
of EventStoreDB 24.10.4 does. Requests that such a node never answers get INVALID_ARGUMENT at once. It keeps everything
in memory and is not a database.
"""

from ._node import EmbeddedNode

__all__ = ["EmbeddedNode"]
