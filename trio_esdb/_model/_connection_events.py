"""What happens to the connections of a client. ``str`` of an event is the text that is logged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Connecting:
    """A connection is being opened.

    Attributes:
        address (str): The address of the node, as ``host:port``.
        connection (int): The number of the connection. The first one of a client has the number 1.
    """

    address: str
    connection: int

    def __str__(self) -> str:
        return f"connecting to {self.address} (connection {self.connection})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Connected:
    """A connection is open: the server has sent its first frame, and takes calls.

    Attributes:
        address (str): The address of the node, as ``host:port``.
        connection (int): The number of the connection.
        seconds (float): How long opening it took.
    """

    address: str
    connection: int
    seconds: float

    def __str__(self) -> str:
        return f"connected to {self.address} (connection {self.connection}) after {self.seconds:.3f} s"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionFailed:
    """A connection could not be opened.

    Attributes:
        address (str): The address of the node, as ``host:port``.
        connection (int): The number of the connection.
        reason (str): Why it could not be opened.
    """

    address: str
    connection: int
    reason: str

    def __str__(self) -> str:
        return f"cannot connect to {self.address} (connection {self.connection}): {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionLost:
    """An open connection ended, and not because of this client.

    Attributes:
        address (str): The address of the node, as ``host:port``.
        connection (int): The number of the connection.
        reason (str): What ended it.
    """

    address: str
    connection: int
    reason: str

    def __str__(self) -> str:
        return f"lost the connection to {self.address} (connection {self.connection}): {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionClosed:
    """The client closed a connection that it does not need any more.

    Attributes:
        address (str): The address of the node, as ``host:port``.
        connection (int): The number of the connection.
        reason (str): Why it is not needed: it was idle, the node is draining, or the client was closed.
    """

    address: str
    connection: int
    reason: str

    def __str__(self) -> str:
        return f"closed the connection to {self.address} (connection {self.connection}): {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeDraining:
    """A node asked for a connection to be closed soon. It takes no new calls on it and finishes those that are open.

    Attributes:
        address (str): The address of the node, as ``host:port``.
        connection (int): The number of the connection.
        details (str): What the node sent with the request.
    """

    address: str
    connection: int
    details: str

    def __str__(self) -> str:
        return f"{self.address} takes no more calls on connection {self.connection}: {self.details}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRepeated:
    """A call failed and is sent again.

    Attributes:
        address (str): The address of the node where it failed, as ``host:port``.
        method (str): The gRPC method, such as ``"/event_store.client.streams.Streams/Append"``.
        attempt (int): Which attempt this will be: 2 for the first repetition.
        delay (float): The seconds until it is sent.
        cause (str): Why it failed.
    """

    address: str
    method: str
    attempt: int
    delay: float
    cause: str

    def __str__(self) -> str:
        return f"repeating a call in {self.delay:.3f} s, attempt {self.attempt} of {self.method}: {self.cause}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallResumed:
    """A read goes on, or a subscription was resumed, by a new call that begins after the last event received.

    Attributes:
        address (str): The address of the node that now serves the call, as ``host:port``.
        method (str): The gRPC method, such as ``"/event_store.client.streams.Streams/Read"``.
        doing (str): What the call is for, such as ``"subscribing to all events"``.
        cause (str): What ended the call before.
    """

    address: str
    method: str
    doing: str
    cause: str

    def __str__(self) -> str:
        return f"{self.doing} goes on, at {self.address}: {self.cause}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CredentialsAsked:
    """The program's function was asked for credentials.

    Attributes:
        address (str): The address of the node that they are for, as ``host:port``.
        reason (str): Why they are needed.
    """

    address: str
    reason: str

    def __str__(self) -> str:
        return f"asking for credentials for {self.address}: {self.reason}"


ConnectionEvent = (
    Connecting
    | Connected
    | ConnectionFailed
    | ConnectionLost
    | ConnectionClosed
    | NodeDraining
    | CallRepeated
    | CallResumed
    | CredentialsAsked
)
"""What ``ESDBClient.connection_events`` gives."""
