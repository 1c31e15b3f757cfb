"""Names of things that exist: made before the requests, and learnt from their answers."""

from __future__ import annotations

import copy
import random
import uuid
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

# The text fields of answers that later requests may name.
_LEARNT = {
    *("account", "api_key_id", "artifact_id", "budget", "entry_id", "generation_id", "grant_id"),
    *("plan", "reservation_id", "token", "alert_id", "rule_id", "silence_id", "bill_id"),
    "delivery_id",
}
_HOLDING = {"ReserveRequest", "BatchReserveRequest"}
_KEPT = 64  # the latest of a kind
_ITEMS_READ = 4  # of a list in an answer


class Names:
    """What exists, by kind. What nothing is known of yet is made up."""

    def __init__(self, choice: random.Random) -> None:
        self._choice = choice
        self._known: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_KEPT))
        self._spenders: deque[str] = deque(maxlen=8)
        self._pages: dict[str, Message] = {}
        self._held: deque[str] = deque(maxlen=_KEPT)

    def add_spender(self, account: str) -> None:
        """Add an account that has budgets and grants."""
        self._spenders.append(account)

    def spender(self) -> str:
        """Return an account that may spend."""
        return self._choice.choice(self._spenders)

    def pick(self, kind: str) -> str:
        """Return the name of a thing."""
        if kind == "reservation_id" and self._held and self._choice.random() < 0.5:
            return self._held.popleft()
        known = self._known[kind]
        if known:
            return self._choice.choice(known)
        return f"fuzz/{self.new_uuid()}" + ("/0" if kind == "artifact_id" else "")

    def token(self) -> str | None:
        """Return an API key that was made, if there is one."""
        known = self._known["token"]
        return self._choice.choice(known) if known else None

    def next_page(self, kind: str) -> Message | None:
        """Return the request for a further page of a listing, if there is one."""
        return copy.copy(self._pages.get(kind))

    def new_uuid(self) -> str:
        """Return the text of a random UUID."""
        return str(uuid.UUID(int=self._choice.getrandbits(128), version=4))

    def add(self, kind: str, name: str) -> None:
        """Add a name."""
        self._known[kind].append(name)

    def learn(self, request: Any, answer: Message) -> None:
        """Add the names in an answer to a valid request."""
        kind = request.DESCRIPTOR.name
        for field, value in texts(answer):
            if field == "next_page_token":
                request.page_token = value
                self._pages[kind] = request
            elif field in _LEARNT:
                self.add(field, value)
                if field == "reservation_id" and kind in _HOLDING:
                    self._held.append(value)


def texts(message: Any) -> Iterator[tuple[str, str]]:
    """Yield the text fields of a message and of those in it, of lists the first few."""
    for field, value in message.ListFields():
        values = value[:_ITEMS_READ] if field.is_repeated and not _is_map(field) else [value]
        for item in values:
            if field.type == FieldDescriptor.TYPE_STRING:
                yield field.name, item
            elif field.type == FieldDescriptor.TYPE_MESSAGE and not _is_map(field):
                yield from texts(item)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
