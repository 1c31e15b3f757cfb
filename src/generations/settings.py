"""What a request may set besides its common fields: what is empty or None was not set.

Which of them a kind takes, and within which bounds, `generations.requests` says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Self


class Role(StrEnum):
    """Who said a message of a chat."""

    USER = "user"
    ASSISTANT = "assistant"


class Priority(StrEnum):
    """Which of the generations that wait comes first; none waits for ever."""

    HIGH = "HIGH"
    NORMAL = "NORMAL"
    BATCH = "BATCH"


class Message(NamedTuple):
    """What was said in a chat before the prompt."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that makes a generation another one, besides the common fields.

    `references` and `mask` are ids of artifacts of the tenant. `seconds` is the length of a video,
    `max_tokens` bounds what a chat may answer.
    """

    negative_prompt: str = ""
    seed: int | None = None
    steps: int | None = None
    style: str = ""
    output_format: str = ""
    references: tuple[str, ...] = ()
    mask: str = ""
    system: str = ""
    messages: tuple[Message, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    seconds: int | None = None

    def encode(self) -> dict[str, Any]:
        """Return what was set, fit for JSON."""
        # Not by `asdict`, which copies what can't be changed anyway.
        fields: dict[str, Any] = {name: getattr(self, name) for name in _NAMES}
        fields["messages"] = [{"role": role, "content": said} for role, said in self.messages]
        fields["references"] = list(self.references)
        return {name: value for name, value in fields.items() if value not in ("", None, [])}

    @classmethod
    def decode(cls, fields: Mapping[str, Any]) -> Self:
        """Read what `encode` wrote."""
        messages = (Message(Role(m["role"]), m["content"]) for m in fields.get("messages", ()))
        return cls(
            **{
                **fields,
                "messages": tuple(messages),
                "references": tuple(fields.get("references", ())),
            }
        )


_NAMES = tuple(field.name for field in dataclasses.fields(Settings))
NO_SETTINGS = Settings()
