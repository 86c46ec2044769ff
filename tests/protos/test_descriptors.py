"""Our `.proto` files say what those of an official client say, but for the differences named here."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import kurrentdbclient
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

# Every name that only one side has, or that means something else there. A name ending in a dot stands for all in it.
ONLY_OURS = {
    "event_store.client.MaximumAppendEventSizeExceeded": "servers send it from 24.10.4; that client does not know it",
    "event_store.client.Status": "that client has the same message as kurrentdbclient.status.Status",
    "event_store.client.monitoring.": "that client does not offer the service",
    "event_store.client.operations.": "that client does not offer the service",
    "event_store.client.server_features.": "that client does not offer the service",
    "event_store.client.users.": "that client does not offer the service",
}
ONLY_THEIRS = {
    "event_store.cluster.": "servers speak it among themselves",
    "google.rpc.Help": "no server sends it",
    "google.rpc.PreconditionFailure": "no server sends it",
    "google.rpc.QuotaFailure": "no server sends it",
    "google.rpc.RequestInfo": "no server sends it",
    "google.rpc.ResourceInfo": "no server sends it",
    "kurrent.rpc.ErrorMetadata": "annotates enum values inside the .proto files, is never sent",
    "kurrentdbclient.status.Status": "is event_store.client.Status here",
}
UNLIKE = {
    "event_store.client.streams.BatchAppendResp.error": "the other name of its type, see Status",
}

Facts = dict[str, object]


def of_field(field: FieldDescriptorProto, owner: DescriptorProto) -> tuple[object, ...]:
    """Number, type, label, oneof; and whether the presence of a scalar shows."""
    oneof = owner.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
    return field.number, field.type, field.type_name, field.label, oneof, field.proto3_optional


def of_enum(enum: EnumDescriptorProto, scope: str) -> Iterator[tuple[str, object]]:
    """The enum and its values."""
    yield f"{scope}.{enum.name}", "enum"
    for value in enum.value:
        yield f"{scope}.{enum.name}.{value.name}", value.number


def of_message(message: DescriptorProto, scope: str) -> Iterator[tuple[str, object]]:
    """The message, its fields and all that is nested in it."""
    name = f"{scope}.{message.name}"
    yield name, "map entry" if message.options.map_entry else "message"
    for field in message.field:
        yield f"{name}.{field.name}", of_field(field, message)
    for enum in message.enum_type:
        yield from of_enum(enum, name)
    for nested in message.nested_type:
        yield from of_message(nested, name)


def facts(files: Iterable[FileDescriptorProto]) -> Facts:
    """Everything that the files define, by full name; Google's own types apart."""
    found: Facts = {}
    for file in files:
        if file.package == "google.protobuf":
            continue
        for enum in file.enum_type:
            found.update(of_enum(enum, file.package))
        for message in file.message_type:
            found.update(of_message(message, file.package))
        for service in file.service:
            for method in service.method:
                streams = (method.client_streaming, method.server_streaming)
                found[f"{file.package}.{service.name}/{method.name}"] = (method.input_type, method.output_type, streams)
    return found


def theirs() -> Facts:
    """What the modules of the official client define, with Google's definitions of errors."""
    root = Path(kurrentdbclient.__file__).parent
    paths = [path.relative_to(root.parent).with_suffix("") for path in sorted(root.rglob("*_pb2.py"))]
    assert len(paths) > 8
    names = [*(".".join(path.parts) for path in paths), "google.rpc.status_pb2", "google.rpc.error_details_pb2"]
    descriptors = [importlib.import_module(name).DESCRIPTOR for name in names]
    return facts(FileDescriptorProto.FromString(descriptor.serialized_pb) for descriptor in descriptors)


def explained(name: str, reasons: dict[str, str]) -> str | None:
    """The key of the reason that covers a name: the name itself, what it is nested in, or its package."""
    for key in reasons:
        if name == key or name.startswith(key if key.endswith(".") else f"{key}."):
            return key
    return None


def check(names: Iterable[str], reasons: dict[str, str]) -> None:
    """Every name has its reason, and every reason is needed."""
    found = {name: explained(name, reasons) for name in sorted(names)}
    assert [name for name, key in found.items() if key is None] == []
    assert set(found.values()) == set(reasons)


def test_differences_from_an_official_client(compiled: list[FileDescriptorProto]) -> None:
    ours, others = facts(compiled), theirs()
    check(ours.keys() - others.keys(), ONLY_OURS)
    check(others.keys() - ours.keys(), ONLY_THEIRS)
    check((name for name in ours.keys() & others.keys() if ours[name] != others[name]), UNLIKE)


def test_status_is_the_same_under_both_names(compiled: list[FileDescriptorProto]) -> None:
    ours, others = facts(compiled), theirs()
    for field in ("code", "message", "details"):
        assert ours[f"event_store.client.Status.{field}"] == others[f"kurrentdbclient.status.Status.{field}"]
