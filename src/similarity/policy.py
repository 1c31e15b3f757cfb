"""What an account allows of the similarity cache, as data, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from generations.models import Kind
from generations.violations import InvalidRequest
from similarity.documents import Document
from similarity.structured import StructuredPolicy

PPM = 1_000_000
TTL_MIN = timedelta(minutes=1)
TTL_MAX = timedelta(days=365)
# Entries that were made together shall not all be gone together.
JITTER = 0.1


class Stage(StrEnum):
    """A rule by which the cache takes one request for another, the surest first."""

    EXACT = "exact"
    NORMALISED = "normalised"
    SIGNATURE = "signature"
    GUARDED = "guarded"
    STRUCTURED = "structured"
    CHAT = "chat"


# The stages by the prompt alone, each of which allows those before it as well.
DEPTHS = (Stage.EXACT, Stage.NORMALISED, Stage.SIGNATURE, Stage.GUARDED)


def up_to(deepest: Stage) -> frozenset[Stage]:
    """Return a stage of DEPTHS and those before it."""
    return frozenset(DEPTHS[: DEPTHS.index(deepest) + 1])


_DEEPEST = MappingProxyType(
    {Kind.IMAGE: Stage.NORMALISED, Kind.CHAT: Stage.EXACT, Kind.VIDEO: Stage.NORMALISED}
)
_TTL = MappingProxyType(
    {
        Kind.IMAGE: timedelta(days=30),
        Kind.CHAT: timedelta(hours=24),
        Kind.VIDEO: timedelta(days=30),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """What an account allows. Without one of its own or above it, an account has the defaults.

    `deepest` is by kind the last of DEPTHS that may serve. The chat tier and structured contexts
    have switches of their own. `max_error_ppm` is how often a score bin may be wrong before its
    gate closes, `sample_ppm` how many of the hits are generated anyway and compared.
    """

    is_enabled: bool = True
    deepest: Mapping[Kind, Stage] = field(default_factory=lambda: _DEEPEST, hash=False)
    chat_tier: bool = False
    structured: StructuredPolicy | None = None
    ttl: Mapping[Kind, timedelta] = field(default_factory=lambda: _TTL, hash=False)
    max_error_ppm: int = 10_000
    sample_ppm: int = 20_000

    def stages(self, kind: Kind) -> frozenset[Stage]:
        """Return the stages that may serve a kind."""
        if not self.is_enabled:
            return frozenset()
        stages = set(up_to(self.deepest[kind]))
        if self.structured is not None:
            stages.add(Stage.STRUCTURED)
        if self.chat_tier and kind is Kind.CHAT:
            stages.add(Stage.CHAT)
        return frozenset(stages)

    def lifetime(self, kind: Kind, roll: float) -> timedelta:
        """Return how long an entry lives; `roll` is a random number from 0 to 1."""
        assert 0 <= roll <= 1, "it is a share of the jitter"
        return self.ttl[kind] * (1 - JITTER + 2 * JITTER * roll)

    def encode(self) -> dict[str, Any]:
        """Return the policy, whole, fit for JSON."""
        return {
            "enabled": self.is_enabled,
            "deepest": {kind.value: self.deepest[kind].value for kind in Kind},
            "chat_tier": self.chat_tier,
            "structured": None if self.structured is None else self.structured.encode(),
            "ttl_seconds": {kind.value: int(self.ttl[kind].total_seconds()) for kind in Kind},
            "max_error_ppm": self.max_error_ppm,
            "sample_ppm": self.sample_ppm,
        }

    @classmethod
    def decode(cls, value: object) -> CachePolicy:
        """Read what `encode` wrote, or a part of it: what is left out is as by default.

        Raises InvalidRequest with every violation; its fields begin with `policy`.
        """
        document = Document.of(value, "policy")
        by_kind = document.table("deepest")
        deepest = {
            kind: by_kind.one_of(kind.value, DEPTHS, default=_DEEPEST[kind]) for kind in Kind
        }
        lives = document.table("ttl_seconds")
        ttl = {
            kind: timedelta(
                seconds=lives.number(
                    kind.value,
                    int(TTL_MIN.total_seconds()),
                    int(TTL_MAX.total_seconds()),
                    default=int(_TTL[kind].total_seconds()),
                )
            )
            for kind in Kind
        }
        structured = document.take("structured")
        policy = cls(
            is_enabled=document.flag("enabled", default=True),
            deepest=MappingProxyType(deepest),
            chat_tier=document.flag("chat_tier", default=False),
            structured=None
            if structured is None
            else StructuredPolicy.read(document.inner("structured", structured)),
            ttl=MappingProxyType(ttl),
            max_error_ppm=document.number("max_error_ppm", 0, PPM, default=10_000),
            sample_ppm=document.number("sample_ppm", 0, PPM, default=20_000),
        )
        for table in (document, by_kind, lives):
            table.end()
        if document.violations:
            raise InvalidRequest(tuple(document.violations))
        return policy
