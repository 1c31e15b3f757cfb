"""A reservation as the scripts write it and the ledger keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Self, cast

import orjson

from authority.domain.budgets import WindowRef
from authority.domain.grants import GrantReceipt
from authority.domain.money import UNITS, Unit

TTL_MS_MIN = 1_000
TTL_MS_DEFAULT = 600_000
TTL_MS_MAX = 86_400_000
# However often it is extended, a reservation lives no longer than this from its creation.
LIFE_MS_MAX = 7 * 86_400_000

_LINES = 14  # of a packed reservation


class ReservationState(StrEnum):
    """The life of a reservation: HELD, then one of the others."""

    HELD = "HELD"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


_STATES = {state.value: state for state in ReservationState}


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


class Reservation(NamedTuple):
    """What is set aside for one piece of work. Times are Unix milliseconds; 0 means not yet.

    Its parts stay texts, as the scripts write them and the ledger keeps them, until they are asked
    for: `legs_text` is `UNIT:reserved:held:actual:charged:refunded` joined by `;`, `windows_text` a
    list of window references joined by blanks, `grants_text` one of receipts (domain/grants.py),
    and `labels_text` JSON.
    """

    reservation_id: str
    account: str
    state: ReservationState
    option_index: int
    late: bool
    create_ms: int
    expire_ms: int
    settle_ms: int
    legs_text: str
    windows_text: str
    grants_text: str
    labels_text: str
    commit_key: str
    receipt: str

    @classmethod
    def unpack(cls, packed: str) -> Self:
        """Read what `pack` or a script wrote: the fields in their order, a line for each.

        Raises KeyError or ValueError for other texts; `check` says whether the parts are readable.
        """
        (
            reservation_id,
            account,
            state,
            option_index,
            late,
            create_ms,
            expire_ms,
            settle_ms,
            legs,
            windows,
            grants,
            labels,
            commit_key,
            receipt,
        ) = packed.split("\n", _LINES - 1)  # A receipt may have several.
        return cls(
            reservation_id,
            account,
            _STATES[state],
            int(option_index),
            late == "1",
            int(create_ms),
            int(expire_ms),
            int(settle_ms),
            legs,
            windows,
            grants,
            labels,
            commit_key,
            receipt,
        )

    def pack(self) -> str:
        """Return the one text that the hot store keeps."""
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
                self.labels_text,
                self.commit_key,
                self.receipt,
            )
        )

    def check(self) -> None:
        """Raise KeyError or ValueError if a part can't be read."""
        _ = self.legs, self.windows, self.grants, self.labels

    @property
    def legs(self) -> tuple[ReservationLeg, ...]:
        """Read the numbers, by unit."""
        return read_legs(self.legs_text)

    @property
    def windows(self) -> tuple[WindowRef, ...]:
        """Read the windows that it counts in."""
        return _refs(self.windows_text)

    @property
    def grants(self) -> tuple[GrantReceipt, ...]:
        """Read what it took from which grant."""
        return tuple([GrantReceipt.parse(text) for text in self.grants_text.split()])

    @property
    def lots(self) -> tuple[WindowRef, ...]:
        """Read the lots that it took from."""
        return tuple([WindowRef.parse(text.partition(",")[0]) for text in self.grants_text.split()])

    @property
    def labels(self) -> Mapping[str, str]:
        """Read what its maker has named it by."""
        return cast("dict[str, str]", orjson.loads(self.labels_text))


@lru_cache(maxsize=20_000)
def _refs(text: str) -> tuple[WindowRef, ...]:
    """Read a list of windows: the reservations of an account have the same for a while."""
    return tuple([WindowRef.parse(part) for part in text.split()])


def read_legs(text: str) -> tuple[ReservationLeg, ...]:
    """Read the numbers of a reservation, as scripts write them."""
    return tuple([_leg(part) for part in text.split(";") if part])


def _leg(text: str) -> ReservationLeg:
    unit, reserved, held, actual, charged, refunded = text.split(":")
    return ReservationLeg(
        UNITS[unit], int(reserved), int(held), int(actual), int(charged), int(refunded)
    )
