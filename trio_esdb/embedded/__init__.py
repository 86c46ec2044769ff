"""An EventStoreDB node inside the process, for development and tests.

    async with EmbeddedNode() as node:
        stream = await node.connect()  # a client's end of a connection to it

It speaks the real protocol, over memory streams, TCP or any other byte stream, with TLS or without, and answers as a
single node of EventStoreDB 24.10.4 does. It keeps everything in memory and is not a database.
``docs/embedded-node.md`` tells what it does otherwise than a real node, and why.
"""

from trio_esdb._public import publish
from trio_esdb._transport._certificates import Certificates, ClientCertificate

from ._node import EmbeddedNode

__all__ = ["Certificates", "ClientCertificate", "EmbeddedNode"]

publish(__name__, __all__)
