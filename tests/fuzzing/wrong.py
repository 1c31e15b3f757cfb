"""Requests that are almost valid, and bytes that are none."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_TEXTS = [
    *(
        "",
        " ",
        "\x00",
        "a\nb",
        "\x7f",
        "\u200b",
        "\u202eabc",
        "e\u0301" * 40,
        "\U0010ffff",
        "\uffff",
    ),
    *("platform", "platform/alice", "ACME", "acme/", "/acme", "acme//x", "acme/a/b", "a" * 41),
    *("stranger", "stranger/alice", "stranger/00000000-0000-7000-8000-000000000000"),
    *("fuzz/00000000-0000-7000-8000-000000000000", "fuzz/ffffffff-ffff-7fff-bfff-ffffffffffff"),
    *("fuzz/0/../../etc/passwd", "../../etc/passwd", "'; DROP TABLE account; --", "$1", "%s%n{0}"),
    *(
        "{}",
        "[]",
        "null",
        "NaN",
        "-1",
        "1e400",
        "usd-day",
        "*",
        "account.account",
        "{acme}",
        "x:y z",
    ),
    *("ffffffff-ffff-7fff-bfff-ffffffffffff", "key:1,2;3 4", "🦊" * 128, "é" * 129, "x" * 70_000),
]
_NUMBERS = [
    *(0, 1, -1, 2, 7, 8, 9, 500, 501, 1_000, 1_001, 2**31 - 1, -(2**31), 2**32),
    *(2**53 - 1, 2**53, 2**53 + 1, -(2**53), 10**14, 10**15, 2**62, 2**63 - 1, -(2**63)),
    *(253_402_300_799, 253_402_300_800, -62_135_596_801, 999_999_999, 1_000_000_000),
]
_RANGES = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_ENUM: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}
_REALS = [0.0, -0.0, 1e-320, 2.000001, -1.0, 1e308, float("inf"), float("-inf"), float("nan")]
_COUNTS = [0, 2, 9, 17, 501]
_BYTES_MAX = 500_000
# A field that no message has: number 31 with text, number 30 with a varint, a group of number 29.
_UNKNOWN_FIELDS = [b"\xfa\x01\x03abc", b"\xf0\x01\xff\xff\x03", b"\xeb\x01\xec\x01"]


def spoil(choice: random.Random, request: Any) -> bytes:
    """Return a valid request with one thing about it changed."""
    if choice.random() < 0.1:
        return request.SerializeToString() + choice.choice(_UNKNOWN_FIELDS)
    places = list(_places(request))
    if places:
        _change(choice, *choice.choice(places))
    return request.SerializeToString()


def garbage(choice: random.Random, body: bytes) -> bytes:
    """Return bytes: of no form at all, or of a valid request that was cut or altered."""
    match choice.randrange(3):
        case 0:
            return choice.randbytes(choice.randint(1, 200))
        case 1:
            return body[: choice.randint(0, len(body))]
        case _:
            altered = bytearray(body)
            for _ in range(choice.randint(1, 4)):
                if altered:
                    altered[choice.randrange(len(altered))] = choice.randrange(256)
            return bytes(altered)


def _places(message: Any) -> Iterator[tuple[Any, FieldDescriptor]]:
    """Yield every field of a message and of those that are set in it."""
    for field in message.DESCRIPTOR.fields:
        yield message, field
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        if field.is_repeated:
            for item in getattr(message, field.name)[:3]:
                yield from _places(item)
        elif message.HasField(field.name):
            yield from _places(getattr(message, field.name))


def _change(choice: random.Random, message: Any, field: FieldDescriptor) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        held, of = getattr(message, field.name), field.message_type.fields_by_name["value"]
        keys = [f"{number}{choice.choice(_TEXTS)[:70]}" for number in range(choice.choice(_COUNTS))]
        for key in (*keys, choice.choice(_TEXTS)):
            if of.message_type is None:
                held[key] = _value(choice, of)
            else:
                held[key].SetInParent()
    elif field.is_repeated:
        _change_list(choice, getattr(message, field.name), field)
    elif field.message_type is not None:
        if message.HasField(field.name) and choice.random() < 0.5:
            message.ClearField(field.name)
        else:
            _change_any(choice, getattr(message, field.name))
    else:
        setattr(message, field.name, _value(choice, field))


def _change_any(choice: random.Random, message: Any) -> None:
    message.SetInParent()
    places = list(_places(message))
    if places:
        _change(choice, *choice.choice(places))


def _change_list(choice: random.Random, items: Any, field: FieldDescriptor) -> None:
    """Repeat what is in a list, empty it, or put something odd into it."""
    kept: list[Any] = list(items)
    del items[:]
    count = choice.choice(_COUNTS)
    size = sum(item.ByteSize() for item in kept if isinstance(item, Message))
    if kept and count and size * count < _BYTES_MAX:
        items.extend(kept * count)
    elif field.message_type is not None:
        items.add()
    if field.message_type is None:
        items.append(_value(choice, field))


def _value(choice: random.Random, field: FieldDescriptor) -> Any:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return choice.choice(_TEXTS)
        case FieldDescriptor.TYPE_BYTES:
            return choice.randbytes(20)
        case FieldDescriptor.TYPE_BOOL:
            return choice.random() < 0.5
        case FieldDescriptor.TYPE_DOUBLE:
            return choice.choice(_REALS)
        case _:
            least, most = _RANGES[field.type]
            return max(least, min(choice.choice(_NUMBERS), most))
