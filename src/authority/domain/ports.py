"""What the use cases ask of the stores. The hot state decides, the ledger remembers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from authority.domain.accounts import AccountChange, AccountFilter, BudgetChange
from authority.domain.alerts import Thresholds
from authority.domain.budgets import Account, Budget, BudgetWindow, OveragePolicy, WindowRef
from authority.domain.callers import Cause
from authority.domain.changes import Change, ChangeFilter
from authority.domain.grants import Grant
from authority.domain.leases import Lease
from authority.domain.money import Leg, Option, Unit
from authority.domain.operations import DenialReason, Move, Operation
from authority.domain.plans import Plan, PlanChange, PlanVersion, PlanWork
from authority.domain.policies import Money, TenantPolicy, Terms
from authority.domain.prices import PriceListStore
from authority.domain.reservations import Reservation, ReserveMode


class Clock(Protocol):
    """The hot store's clock as this process knows it. Tests move it."""

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        ...

    def observe(self, now_ms: int) -> None:
        """Take over a time that the hot store answered."""
        ...


class Verdict(StrEnum):
    """What a script answered."""

    DONE = "DONE"
    CHECKED = "CHECKED"
    REPLAYED = "REPLAYED"
    REUSED = "REUSED"
    NOT_LOADED = "NOT_LOADED"
    LOOK_UP = "LOOK_UP"
    STALE_POLICY = "STALE_POLICY"
    MOVED = "MOVED"
    MISSING = "MISSING"
    MISPLACED = "MISPLACED"
    RECLAIM = "RECLAIM"
    LEASE = "LEASE"
    STATE = "STATE"
    EXCEEDS = "EXCEEDS"
    NOT_HELD = "NOT_HELD"
    NOT_DUE = "NOT_DUE"


class Decision(NamedTuple):
    """A script's answer.

    `operation` is set for DONE, CHECKED and REPLAYED; it `waits` in the outbox until it is in the
    ledger. `entry` is what may be taken out of the outbox then, '' for nothing: an entry has many
    operations, and may be taken out with the last of them. `detail` is what else the verdict
    carries, as the script's header says. `epoch` is the one that it was given in.
    """

    verdict: Verdict
    operation: Operation | None = None
    waits: bool = False
    entry: str = ""
    detail: tuple[str, ...] = ()
    epoch: int = 0


class Keyed(NamedTuple):
    """What every operation with an idempotency key hands to its script."""

    tenant: str
    key: str
    request: str
    operation_id: str
    checked: bool  # whether the ledger was asked for the key


class ReserveCommand(NamedTuple):
    """A Reserve on the terms of the tenant's policy."""

    terms: Terms
    reservation_id: str
    options: Sequence[Option]
    refusals: Sequence[DenialReason | None]  # each option's own
    ttl_ms: int
    labels: Mapping[str, str]
    mode: ReserveMode
    may_reclaim: bool
    refused: Collection[WindowRef] = ()  # leases that can't grow now; likewise below


class HeldOn(NamedTuple):
    """What never changes about a reservation but by Extend: its windows and lots, in order."""

    reservation_id: str
    windows: Sequence[WindowRef]
    lots: Sequence[WindowRef]


class CommitCommand(NamedTuple):
    """A Commit.

    `limits` has one entry for each window, None where none binds, LEASED or LEASED_SOFTLY;
    `thresholds` the same, None where
    it raises no alert.
    """

    held: HeldOn
    limits: Sequence[int | None]
    thresholds: Sequence[Thresholds | None]
    money: Money
    overage: OveragePolicy
    policy_version: int
    actual: Sequence[Leg]
    final: bool
    force: bool
    receipt: str
    refused: Collection[WindowRef] = ()


class ExtendCommand(NamedTuple):
    """An Extend. `limits` has one entry for each window, as those of a Commit."""

    held: HeldOn
    limits: Sequence[int | None]
    money: Money
    policy_version: int
    ttl_ms: int
    legs: Sequence[Leg]
    refused: Collection[WindowRef] = ()


class Restore(NamedTuple):
    """How a refund to a lot is restored, should the lot have expired at `expire_ms`."""

    expire_ms: int
    grace_ms: int
    grant_id: str  # of the grant that is made then, the part behind the slash


class RefundCommand(NamedTuple):
    """A Refund; of all that is left if no leg is named."""

    held: HeldOn
    legs: Sequence[Leg]
    restores: Mapping[WindowRef, Restore]


class AdjustCommand(NamedTuple):
    """An Adjust, of amounts that may be below zero."""

    windows: Sequence[BudgetWindow]
    thresholds: Sequence[Thresholds | None]  # one for each window
    money: Money
    policy_version: int
    legs: Sequence[Leg]
    refused: Collection[WindowRef] = ()


class WindowCounts(NamedTuple):
    """The three counts of a window."""

    reserved: int
    committed: int
    refunded: int


class HotReading(NamedTuple):
    """What the hot state held at one moment; None for what it has not loaded."""

    epoch: int
    now_ms: int
    sequence: int
    reservation: Reservation | None
    counts: list[WindowCounts | None]


class HotState(Protocol):
    """Decides. Every method raises Unavailable if the store does not answer."""

    async def reserve(self, keyed: Keyed, command: ReserveCommand) -> Decision:
        """Hold the first option that fits, or deny."""
        ...

    async def commit_reservation(self, keyed: Keyed, command: CommitCommand) -> Decision:
        """Settle a reservation with its actual cost."""
        ...

    async def release(self, keyed: Keyed, held: HeldOn) -> Decision:
        """Give an uncommitted reservation back."""
        ...

    async def refund(self, keyed: Keyed, command: RefundCommand) -> Decision:
        """Give a charge back."""
        ...

    async def extend(self, keyed: Keyed, command: ExtendCommand) -> Decision:
        """Hold longer, and more."""
        ...

    async def adjust(self, keyed: Keyed, command: AdjustCommand) -> Decision:
        """Charge more or less than was committed."""
        ...

    async def record(
        self, keyed: Keyed, fields: Mapping[str, object], moves: Sequence[Move] = ()
    ) -> Decision:
        """Claim the key for an operation whose effect is the ledger's alone."""
        ...

    async def expire(self, held: HeldOn, operation_id: str) -> Decision:
        """Give a reservation back whose time has passed."""
        ...

    async def set_aside(self, reservation_id: str) -> None:
        """Let no Reserve reclaim a reservation until the hot state is made anew."""
        ...

    async def read(
        self, tenant: str, reservation: str | None, refs: Sequence[WindowRef]
    ) -> HotReading | None:
        """Read a reservation and windows in one moment; None if the tenant is not loaded."""
        ...

    async def load(
        self,
        tenant: str,
        reservation: Reservation | None,
        counts: Mapping[WindowRef, WindowCounts],
        epoch: int,
        leases: Mapping[WindowRef, Lease] | None = None,
    ) -> None:
        """Bring in what the ledger has, if the store still is in the epoch that it was missed in.

        What was read from the ledger in an earlier one may be older than what was decided since.
        """
        ...

    async def raise_policy_version(self, tenant: str, version: int) -> bool:
        """Make older policies of the tenant stale; False if the tenant is not loaded."""
        ...


class Ledger(PriceListStore, Protocol):
    """Remembers. Every method raises Unavailable if the store does not answer."""

    async def find_operation(self, tenant: str, key: str) -> Operation | None:
        """Return the operation that first used the key."""
        ...

    async def reservation(self, reservation_id: str) -> Reservation | None:
        """Return a reservation."""
        ...

    async def window_counts(self, refs: Iterable[WindowRef]) -> dict[WindowRef, WindowCounts]:
        """Return the counts of the windows, zero for those that were never used."""
        ...

    async def platform_counts(self, refs: Sequence[WindowRef]) -> dict[WindowRef, WindowCounts]:
        """Return what all tenants together count of the platform's budgets."""
        ...

    async def policy(self, tenant: str) -> TenantPolicy | None:
        """Return the tenant's accounts, budgets and grants; None if there is no such tenant."""
        ...

    async def policy_version(self, tenant: str) -> int:
        """Return the version of the tenant's policy; 0 if there is no such tenant."""
        ...

    async def raise_policy_version(self, tenant: str) -> int:
        """Make all cached policies of the tenant stale; return the new version."""
        ...

    async def present_policy_versions(self) -> Sequence[tuple[str, int]]:
        """Return the tenants that are open in the present epoch, with their policy's version."""
        ...

    async def grant(self, grant_id: str) -> Grant | None:
        """Return a grant, whatever its state."""
        ...

    async def list_grants(
        self, account: str, unit: Unit | None, before: str, limit: int
    ) -> list[Grant]:
        """Return a page of an account's grants, the latest first, of those before an id."""
        ...

    async def insert_account(self, account: Account, cause: Cause) -> int:
        """Add an account and return the new policy version.

        Raises NotFound and InvalidRequest (the parent), AlreadyExists.
        """
        ...

    async def update_account(
        self, account: str, change: AccountChange, cause: Cause, change_time: datetime
    ) -> tuple[Account, int]:
        """Change an account; return it and the policy version.

        Raises NotFound (the account or the parent) and InvalidRequest.
        """
        ...

    async def ended_accounts(self, now_ms: int, set_aside: Sequence[str], limit: int) -> list[str]:
        """Return accounts whose end has come and that are not closed yet."""
        ...

    async def insert_budget(self, budget: Budget, cause: Cause) -> tuple[Budget, int]:
        """Add a budget; return it with its key, and the policy version.

        Raises NotFound (the account), AlreadyExists, and InvalidRequest if there are too many.
        """
        ...

    async def update_budget(
        self, account: str, budget: str, change: BudgetChange, cause: Cause, change_time: datetime
    ) -> tuple[Budget, int]:
        """Change a budget; return it and the policy version. Raises NotFound, InvalidRequest."""
        ...

    async def set_own_budget(
        self, account: str, limit: int | None, cause: Cause, change_time: datetime
    ) -> tuple[Budget, int]:
        """Make or change a user's own monthly budget; None is for the default limit.

        Return it and the policy version. Raises NotFound and InvalidRequest.
        """
        ...

    async def list_accounts(
        self, wanted: AccountFilter, after: str, limit: int, *, descending: bool
    ) -> list[Account]:
        """Return a page of accounts in the order of their ids, or the other way round."""
        ...

    async def list_budgets(
        self, tenant: str, account: str, unit: Unit | None, after: tuple[str, str], limit: int
    ) -> list[Budget]:
        """Return a page of budgets by account and id; '' and None are for any."""
        ...

    async def insert_plan(self, plan: Plan, cause: Cause) -> None:
        """Add a plan, and record it. Raises AlreadyExists."""
        ...

    async def update_plan(
        self, name: str, change: PlanChange, cause: Cause, change_time: datetime
    ) -> tuple[Plan, list[str], dict[str, int]]:
        """Change a plan and the budgets of all accounts that have it, and record it.

        Return the plan, the accounts, and the policy versions of their tenants.
        Raises NotFound, and InvalidRequest if an account would have too many budgets.
        """
        ...

    async def plan(self, name: str) -> Plan:
        """Return a plan. Raises NotFound."""
        ...

    async def plan_version(self, name: str, version: int) -> Plan:
        """Return a plan as one of its versions was. Raises NotFound."""
        ...

    async def list_plan_versions(self, name: str, before: int, limit: int) -> list[PlanVersion]:
        """Return a page of a plan's versions, the latest first: those before one; all for 0."""
        ...

    async def list_plans(self, after: str, limit: int) -> list[Plan]:
        """Return a page in the order of the ids."""
        ...

    async def plan_work(self, account: str) -> PlanWork:
        """Return what is to be granted and voided for the plan of an account that exists."""
        ...

    async def pending_accounts(self, set_aside: Sequence[str], limit: int) -> list[str]:
        """Return accounts whose plan's grants are still to be made or voided."""
        ...

    async def clear_pending(self, account: str, pending: int) -> bool:
        """Say that a change was carried out; False if another one has come since."""
        ...

    async def list_changes(self, wanted: ChangeFilter, before: int, limit: int) -> list[Change]:
        """Return a page of changes, the latest first: of those before a number; of all for 0."""
        ...


OpenTenant = Callable[[str], Awaitable[None]]
"""Makes the hot state of a tenant serve in the present epoch. Raises Unavailable."""
