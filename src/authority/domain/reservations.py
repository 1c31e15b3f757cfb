"""A reservation as the scripts write it and the ledger keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Self

from authority.domain.budgets import WindowRef
from authority.domain.grants import GrantReceipt
from authority.domain.money import Unit

# The fields of a packed reservation before its receipt, in order.
_PACKED = (
    "id",
    "account",
    "state",
    "option",
    "late",
    "created",
    "expires",
    "settled",
    "legs",
    "windows",
    "grants",
    "labels",
    "commit_key",
)

TTL_MS_MIN = 1_000
TTL_MS_DEFAULT = 600_000
TTL_MS_MAX = 86_400_000
# However often it is extended, a reservation lives no longer than this from its creation.
LIFE_MS_MAX = 7 * 86_400_000


class ReservationState(StrEnum):
    """The life of a reservation: HELD, then one of the others."""

    HELD = "HELD"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


class ReserveMode(StrEnum):
    """What a Reserve does if nothing fits, and whether it holds at all."""

    NORMAL = "NORMAL"
    CHECK_ONLY = "CHECK_ONLY"
    BEST_EFFORT = "BEST_EFFORT"


class ReservationLeg(NamedTuple):
    """The numbers of a reservation in one unit."""

    unit: Unit
    reserved: int
    held: int
    actual: int
    charged: int
    refunded: int

    @property
    def absorbed(self) -> int:
        """Return what the platform carries of the actual cost."""
        return self.actual - self.charged


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is set aside for one piece of work. Times are Unix milliseconds; 0 means not yet."""

    reservation_id: str
    account: str
    state: ReservationState
    legs: tuple[ReservationLeg, ...]
    windows: tuple[WindowRef, ...]
    grants: tuple[GrantReceipt, ...]
    option_index: int
    late: bool
    labels: Mapping[str, str]
    create_ms: int
    expire_ms: int
    settle_ms: int
    commit_key: str
    receipt: str

    @classmethod
    def decode(cls, fields: Mapping[str, Any], labels: Mapping[str, str]) -> Self:
        """Read a reservation from the flat strings that the scripts keep.

        `legs` is `UNIT:reserved:held:actual:charged:refunded` joined by `;`; `windows` is a list
        of window references joined by blanks, `grants` one of receipts (domain/grants.py).
        """
        return cls(
            reservation_id=fields["id"],
            account=fields["account"],
            state=ReservationState(fields["state"]),
            legs=tuple(_leg(text) for text in fields["legs"].split(";") if text),
            windows=tuple(WindowRef.parse(text) for text in fields["windows"].split()),
            grants=tuple(GrantReceipt.parse(text) for text in fields["grants"].split()),
            option_index=int(fields["option"]),
            late=fields["late"] == "1",
            labels=labels,
            create_ms=int(fields["created"]),
            expire_ms=int(fields["expires"]),
            settle_ms=int(fields["settled"]),
            commit_key=fields["commit_key"],
            receipt=fields["receipt"],
        )

    @classmethod
    def unpack(cls, packed: str) -> Self:
        """Read what `pack` or a script wrote. Raises ValueError."""
        *texts, receipt = packed.split("\n", len(_PACKED))
        fields = dict(zip(_PACKED, texts, strict=True), receipt=receipt)
        return cls.decode(fields, json.loads(fields["labels"]))

    def pack(self) -> str:
        """Return the one text that the hot store keeps: the fields, each on a line of its own.

        The receipt is the last.
        """
        labels = json.dumps(dict(self.labels), ensure_ascii=False, separators=(",", ":"))
        return "\n".join(
            (
                self.reservation_id,
                self.account,
                self.state,
                str(self.option_index),
                "1" if self.late else "0",
                str(self.create_ms),
                str(self.expire_ms),
                str(self.settle_ms),
                self.legs_text,
                self.windows_text,
                self.grants_text,
                labels,
                self.commit_key,
                self.receipt,
            )
        )

    @property
    def legs_text(self) -> str:
        """Return the legs in the form that `decode` reads."""
        return ";".join(
            f"{leg.unit}:{leg.reserved}:{leg.held}:{leg.actual}:{leg.charged}:{leg.refunded}"
            for leg in self.legs
        )

    @property
    def windows_text(self) -> str:
        """Return the windows in the form that `decode` reads."""
        return " ".join(map(str, self.windows))

    @property
    def grants_text(self) -> str:
        """Return the receipts in the form that `decode` reads."""
        return " ".join(map(str, self.grants))


def _leg(text: str) -> ReservationLeg:
    unit, *amounts = text.split(":")
    return ReservationLeg(Unit[unit], *map(int, amounts))
