"""What callers see: the nouns of the authority as plain, frozen values. Times are in UTC.

Every word has a value UNKNOWN, which stands for one that this client is too old to know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from clients.amounts import Leg, Unit
from clients.unread import Unread


class Window(StrEnum):
    """The time span over which a budget counts, aligned to the account's time zone."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    TOTAL = "TOTAL"
    UNKNOWN = "UNKNOWN"


class Enforcement(StrEnum):
    """What a budget does when an amount does not fit. DOWNGRADE allows but the last tier."""

    BLOCK = "BLOCK"
    DOWNGRADE = "DOWNGRADE"
    NOTIFY = "NOTIFY"
    UNKNOWN = "UNKNOWN"


class OveragePolicy(StrEnum):
    """What happens to an actual cost above the held amount; the cost itself is always recorded."""

    CAP = "CAP"
    AVAILABLE = "AVAILABLE"
    DEBT = "DEBT"
    UNKNOWN = "UNKNOWN"


class AccountState(StrEnum):
    """Whether an account may reserve."""

    ACTIVE = "ACTIVE"
    FROZEN = "FROZEN"
    CLOSED = "CLOSED"
    UNKNOWN = "UNKNOWN"


class ReservationState(StrEnum):
    """The life of a reservation: HELD, then exactly one of the other three."""

    HELD = "HELD"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"


class DenialReason(StrEnum):
    """Why a Reserve was denied.

    BUDGET_EXHAUSTED: committed money is in the way. BUDGET_BUSY: only open reservations are.
    """

    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    BUDGET_BUSY = "BUDGET_BUSY"
    ACCOUNT_FROZEN = "ACCOUNT_FROZEN"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    NO_BUDGET = "NO_BUDGET"
    PER_REQUEST_CAP = "PER_REQUEST_CAP"
    CONCURRENCY_CAP = "CONCURRENCY_CAP"
    RATE_LIMITED = "RATE_LIMITED"
    INSUFFICIENT_GRANTS = "INSUFFICIENT_GRANTS"
    DEBT_OUTSTANDING = "DEBT_OUTSTANDING"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Account:
    """A node of the account tree; `parent` is `platform` for a tenant.

    `per_request_limits` are the most that one Reserve by the account, or by one below it, may ask;
    `reserves_per_minute` is how many of them they may make, 0 for no limit.
    """

    account: str
    parent: str
    display_name: str
    time_zone: str
    state: AccountState
    overage_policy: OveragePolicy
    create_time: datetime | None
    per_request_limits: tuple[Leg, ...]
    reserves_per_minute: int
    plan: str = ""  # '' for none
    end_time: datetime | None = None  # from when on it is closed
    freeze_end_time: datetime | None = None  # until when an abuse guard has frozen it
    submissions_per_minute: int = 0  # 0 for the plan's number


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on one unit of one account over a window."""

    account: str
    budget: str
    unit: Unit
    window: Window
    limit: int
    enforcement: Enforcement
    create_time: datetime | None
    update_time: datetime | None
    alert_thresholds: tuple[int, ...] = ()  # percents of the limit that raise alerts


@dataclass(frozen=True, slots=True)
class BudgetBalance:
    """A budget's numbers in one window: available = limit - reserved - committed + refunded.

    The window's times are None for Window.TOTAL.
    """

    budget: Budget
    window_start_time: datetime | None
    window_end_time: datetime | None
    reserved: int
    committed: int
    refunded: int
    available: int


@dataclass(frozen=True, slots=True)
class GrantReceipt:
    """What a reservation took from one grant.

    `period_start_time` is None for a grant without recurrence.
    """

    grant_id: str
    period_start_time: datetime | None
    unit: Unit
    reserved: int
    held: int
    charged: int
    refunded: int


@dataclass(frozen=True, slots=True)
class ReservationLeg:
    """The numbers of a reservation in one unit: actual = charged + absorbed."""

    unit: Unit
    reserved: int = 0
    held: int = 0
    actual: int = 0
    charged: int = 0
    absorbed: int = 0
    refunded: int = 0


@dataclass(frozen=True, slots=True)
class Reservation(Unread):
    """What is set aside for one piece of work.

    `option_index` is the option that was held, counted from 0. `late` says that it was committed
    after it had expired. `grants` says what was taken from which grant, in that order. `receipt` is
    what the last commit told of the provider's own record. `replayed` says that this answers an
    earlier call with the same key. `passed_over` is only in Reserve's answer: why the last option
    of another name, preferred to the one that was held, was not.
    """

    reservation_id: str
    account: str
    state: ReservationState
    legs: tuple[ReservationLeg, ...]
    option_index: int
    late: bool
    labels: Mapping[str, str] = field(hash=False)
    create_time: datetime | None
    expire_time: datetime | None
    settle_time: datetime | None
    grants: tuple[GrantReceipt, ...] = ()
    receipt: str = ""
    replayed: bool = False
    passed_over: Denial | None = None

    def leg(self, unit: Unit) -> ReservationLeg:
        """Return the numbers of one unit; all zero if the reservation has none of it."""
        return next((leg for leg in self.legs if leg.unit == unit), ReservationLeg(unit))

    def charged(self, unit: Unit) -> int:
        """Return what the account's budgets were charged in one unit, before refunds."""
        return self.leg(unit).charged


@dataclass(slots=True)
class HeldReservation:
    """A reservation inside `async with client.reservation(...)`.

    Set `actual` to the real cost; `[]` says that nothing was spent. While it is None, the block's
    normal end commits all that was reserved. After the block `reservation` is the settled one.
    """

    reservation: Reservation
    actual: Sequence[Leg] | None = None

    @property
    def reservation_id(self) -> str:
        """The reservation's id."""
        return self.reservation.reservation_id

    @property
    def commit_key(self) -> str:
        """The idempotency key of the block's Commit, always the same for one reservation."""
        return f"{self.reservation_id}/commit"

    @property
    def release_key(self) -> str:
        """The idempotency key of the block's Release."""
        return f"{self.reservation_id}/release"

    @property
    def cost(self) -> Sequence[Leg]:
        """What the block's end commits: `actual`, or all that was reserved."""
        if self.actual is not None:
            return self.actual
        return [Leg(leg.unit, leg.reserved) for leg in self.reservation.legs]


@dataclass(frozen=True, slots=True)
class LimitingBudget:
    """One budget that did not allow a Reserve, with its numbers at the moment of the decision.

    `committed` is less refunds. `reset_time` is None for Window.TOTAL.
    """

    account: str
    budget: str
    unit: Unit
    window: Window
    limit: int
    reserved: int
    committed: int
    requested: int
    short_by: int
    reset_time: datetime | None
    reason: DenialReason
    enforcement: Enforcement = Enforcement.UNKNOWN


@dataclass(frozen=True, slots=True)
class GrantShortage:
    """A unit in which the grants did not cover a Reserve.

    `available` is what the grants in effect had, below 0 where debt outweighs them; `reserved` is
    what open reservations hold of them.
    """

    unit: Unit
    requested: int
    available: int
    reserved: int
    short_by: int


@dataclass(frozen=True, slots=True)
class LimitingRate:
    """A rate that did not allow a submission: an account's, or an API key's; the other is ''."""

    account: str
    api_key_id: str
    per_minute: int
    retry_after: timedelta


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a Reserve was denied: the limits that did not allow the last option, tightest first.

    `limiting_budget_count` is how many there were, which may be more than the 8 that are listed.
    Of a denied submission: `limiting_rates` has the rates that did not allow it.
    """

    reason: DenialReason = DenialReason.UNKNOWN
    account: str = ""
    limiting_budgets: tuple[LimitingBudget, ...] = ()
    limiting_budget_count: int = 0
    grant_shortages: tuple[GrantShortage, ...] = ()
    limiting_rates: tuple[LimitingRate, ...] = ()

    @property
    def reset_time(self) -> datetime | None:
        """When the last window in the way ends; None if there is one that never does, or none."""
        times = [budget.reset_time for budget in self.limiting_budgets]
        known = [time for time in times if time is not None]
        return max(known) if known and len(known) == len(times) else None


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A correction of what an account was charged; its ledger entries have the operation's id."""

    operation_id: str
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class AuditDifference:
    """One number that is not what the ledger's entries say.

    `place` is `ledger`, `window_total`, `reservation`, `hot_state`, `usage` or `lease`.
    """

    tenant: str
    place: str
    subject: str
    field: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit compared, and every difference that it found."""

    differences: tuple[AuditDifference, ...]
    tenant_count: int
    operation_count: int
    window_count: int
    reservation_count: int

    @property
    def balanced(self) -> bool:
        """Whether no difference was found."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker process: `worker` is its host and process id."""

    worker: str
    slot_count: int
    running_count: int
    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """How the authority, its stores, its queue and the workers are."""

    version: str
    epoch: int
    hot_store_ok: bool
    ledger_ok: bool
    queued_count: int
    running_count: int
    workers: tuple[WorkerStatus, ...]
