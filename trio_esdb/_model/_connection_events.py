"""What happens to the connections of a client. ``str`` of an event is the text that is logged.

The classes are dataclasses, but their methods are those of one base class. To generate methods for each of them would
take several milliseconds whenever the package is imported. Their annotations are no texts for the same reason.
"""

from dataclasses import FrozenInstanceError, dataclass
from typing import Any, NoReturn, TypeVar, dataclass_transform

from ._cluster import ClusterMember

T = TypeVar("T")


class _Event:
    """The methods of a frozen dataclass with keyword-only fields."""

    __slots__: tuple[str, ...] = ()

    def __init__(self, *args: object, **values: object) -> None:
        if args or values.keys() != set(self.__slots__):
            names = ", ".join(self.__slots__)
            raise TypeError(f"{type(self).__name__} takes these arguments, all of them by keyword: {names}")
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in self.__slots__)))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def _event(cls: type[T]) -> type[T]:
    return dataclass(init=False, repr=False, eq=False, kw_only=True, slots=True)(cls)


@_event
class Connecting(_Event):
    """A connection is being opened.

    Attributes:
        address (str): The address of the node, as ``host:port``.
        connection (int): The number of the connection. The first one of a client has the number 1.
    """

    address: str
    connection: int

    def __str__(self) -> str:
        return f"connecting to {self.address} (connection {self.connection})"


@_event
class Connected(_Event):
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


@_event
class ConnectionFailed(_Event):
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


@_event
class ConnectionLost(_Event):
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


@_event
class ConnectionClosed(_Event):
    """The client closed a connection that it does not need any more.

    Attributes:
        address (str): The address of the node, as ``host:port``.
        connection (int): The number of the connection.
        reason (str): Why it is not needed: it was idle, the node is draining or not used any more, or the client was
            closed.
    """

    address: str
    connection: int
    reason: str

    def __str__(self) -> str:
        return f"closed the connection to {self.address} (connection {self.connection}): {self.reason}"


@_event
class NodeDraining(_Event):
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


@_event
class CallRepeated(_Event):
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


@_event
class CallResumed(_Event):
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


@_event
class CredentialsAsked(_Event):
    """The program's function was asked for credentials.

    Attributes:
        address (str): The address of the node that they are for, as ``host:port``.
        reason (str): Why they are needed.
    """

    address: str
    reason: str

    def __str__(self) -> str:
        return f"asking for credentials for {self.address}: {self.reason}"


@_event
class Discovered(_Event):
    """A node told of the members of its cluster.

    Attributes:
        address (str): The address of the node that told it, as ``host:port``.
        members (tuple[ClusterMember, ...]): The members as this node sees them.
    """

    address: str
    members: tuple[ClusterMember, ...]

    def __str__(self) -> str:
        listed = ", ".join(
            f"{member.address}:{member.port} {member.state}{'' if member.is_alive else ' (dead)'}"
            for member in self.members
        )
        return f"{self.address} tells of its cluster: {listed}"


@_event
class DiscoveryFailed(_Event):
    """No node was found that does what is wanted. The next call searches again.

    Attributes:
        reason (str): What is missing, and why each candidate failed.
    """

    reason: str

    def __str__(self) -> str:
        return self.reason


@_event
class LeaderChanged(_Event):
    """Calls that need the leader go to another node from now on.

    Attributes:
        address (str): The address of the new leader, as ``host:port``.
        before (str): The address of the leader before, as ``host:port``.
    """

    address: str
    before: str

    def __str__(self) -> str:
        return f"the leader is {self.address} now; before, it was {self.before}"


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
    | Discovered
    | DiscoveryFailed
    | LeaderChanged
)
"""What ``ESDBClient.connection_events`` gives."""
