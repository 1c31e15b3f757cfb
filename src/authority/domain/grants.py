"""Grants: lots of prepaid or free amount, and the order in which they are spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from authority.domain.budgets import WindowRef
from authority.domain.money import Unit
from authority.domain.windows import Window, WindowSpan, window_at

GRANTS_PER_ACCOUNT_MAX = 64
PRIORITY_MAX = 1_000


_NUMBERS = (
    "amount",
    "priority",
    "effective_ms",
    "expire_ms",
    "refund_grace_ms",
    "create_ms",
    "void_ms",
)
# What most grants have none of is left out of what is written of them.
_RARE_NUMBERS = ("price_micros",)


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant on an account. Times are Unix milliseconds; 0 means never, or not yet.

    `key` is the ledger's own number for it, from the sequence that budgets are numbered by, so that
    one table counts both. `recurrence` is TOTAL for a grant that is made once. `price_micros` is
    what was paid for its amount, in micros of USD.
    """

    grant_id: str
    key: int
    account: str
    unit: Unit
    amount: int
    priority: int
    effective_ms: int
    expire_ms: int
    recurrence: Window
    refund_grace_ms: int
    source: str
    create_ms: int
    void_ms: int
    price_micros: int = 0

    @classmethod
    def decode(cls, fields: Mapping[str, str]) -> Self:
        """Read what `encode` wrote."""
        return cls(
            grant_id=fields["grant_id"],
            key=0,
            account=fields["account"],
            unit=Unit(fields["unit"]),
            recurrence=Window(fields["recurrence"]),
            source=fields["source"],
            **{name: int(fields[name]) for name in _NUMBERS},
            **{name: int(fields.get(name, "0")) for name in _RARE_NUMBERS},
        )

    def encode(self) -> dict[str, str]:
        """Return all but the key as strings: an operation carries it before it has one."""
        return {
            "grant_id": self.grant_id,
            "account": self.account,
            "unit": self.unit,
            "recurrence": self.recurrence,
            "source": self.source,
            **{name: str(getattr(self, name)) for name in _NUMBERS},
            **{name: str(getattr(self, name)) for name in _RARE_NUMBERS if getattr(self, name)},
        }

    @property
    def end_ms(self) -> int:
        """Return when it expires or was voided, whichever is earlier; 0 for never."""
        return min(filter(None, (self.expire_ms, self.void_ms)), default=0)

    def lot_at(self, time_zone: str, moment_ms: int) -> Lot:
        """Return what may be spent of it at a moment: all of it, or that of one period."""
        span = window_at(self.recurrence, time_zone, moment_ms)
        return Lot(self, span)


class Lot(NamedTuple):
    """A grant in one of its periods; one that does not recur has a single one, without end."""

    grant: Grant
    span: WindowSpan

    @property
    def ref(self) -> WindowRef:
        """Return the name under which stores count it."""
        return WindowRef(self.grant.key, self.span.start_ms, self.grant.unit)

    @property
    def expire_ms(self) -> int:
        """Return until when it may be spent; 0 for ever."""
        return min(filter(None, (self.grant.end_ms, self.span.end_ms)), default=0)

    def is_active(self, moment_ms: int) -> bool:
        """Say whether it may be spent at a moment."""
        expire_ms = self.expire_ms
        return self.grant.effective_ms <= moment_ms and (expire_ms == 0 or moment_ms < expire_ms)

    @property
    def spending_order(self) -> tuple[int, bool, int, int, str]:
        """Return the sort key: priority, then the earliest expiry, then age."""
        grant = self.grant
        return (
            grant.priority,
            self.expire_ms == 0,
            self.expire_ms,
            grant.create_ms,
            grant.grant_id,
        )


class GrantReceipt(NamedTuple):
    """What a reservation took from one lot. `grant_id` is the part behind the slash."""

    ref: WindowRef
    grant_id: str
    reserved: int
    held: int
    charged: int
    refunded: int

    def __str__(self) -> str:
        """Return the form that scripts and ledger rows use: `12:0:USD,<uuid>,5,5,0,0`."""
        return ",".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> GrantReceipt:
        """Read what `str` wrote."""
        ref, grant_id, reserved, held, charged, refunded = text.split(",")
        return cls(
            WindowRef.parse(ref), grant_id, int(reserved), int(held), int(charged), int(refunded)
        )
