"""The sweeper: what has to happen without anybody asking for it. Safe in many processes at once.

Correctness never depends on it: an expired hold that is in the way is reclaimed by the Reserve that
it is in the way of, an operation that is replayed is journalled before it is answered.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from authority.domain.accounts import AccountChange
from authority.domain.budgets import AccountState
from authority.domain.callers import Cause
from authority.domain.errors import PaymasterError, Unavailable
from authority.hotstate.store import HotStore
from authority.ledger.database import Database
from authority.ledger.journal import Journal
from authority.ledger.queries import statements
from authority.ledger.store import LedgerStore
from authority.recovery.epoch import Epochs
from authority.recovery.outbox import Outbox, operations_of
from authority.usecases.accounts import update_account
from authority.usecases.context import Context
from authority.usecases.expire import BrokenReservation, expire
from authority.usecases.locate import Locator
from authority.usecases.plans import settle_grants

TICK_SECONDS = 1.0
# Younger outbox entries belong to a process that is about to journal them itself.
_OUTBOX_GRACE_MS = 3_000
# A sweep looks at so many outboxes, or at a tenth of all, and the next one at the next: there may
# be many thousands, and what a process left behind is to be written within seconds.
_DRAINED_LEAST = 500
_EXPIRE_MAX = 500
_PLANS_MAX = 100
_ENDS_MAX = 100
_CLOSED = AccountChange(state=AccountState.CLOSED)
_AT_ITS_END = Cause("paymaster", "its end has come")
# What can't be expired is tried again only after this long: its hot state may be anew by then.
_SET_ASIDE_SECONDS = 600.0
_MONTH_SECONDS = 3_600.0

log = structlog.get_logger(__name__)


class Sweeper:
    """Expires what is due, drains what was left behind, and keeps the hot policy versions up."""

    def __init__(
        self,
        *,
        context: Context,
        locator: Locator,
        hot: HotStore,
        ledger: LedgerStore,
        database: Database,
        journal: Journal,
        outbox: Outbox,
        epochs: Epochs,
    ) -> None:
        self._context = context
        self._locator = locator
        self._hot = hot
        self._ledger = ledger
        self._database = database
        self._journal = journal
        self._outbox = outbox
        self._epochs = epochs
        self._months_made_at = float("-inf")
        self._drained_to = ""  # the last tenant whose outbox was looked at
        # What the hot store was told of tenants whose policy is new: in which epoch, which version.
        self._told: dict[str, tuple[int | None, int]] = {}
        self._set_aside_until: dict[str, float] = {}

    async def run(self) -> None:
        """Sweep every second until cancelled. A store that is away is tried again."""
        while True:
            try:
                await self.sweep()
            except Unavailable as error:
                log.warning("sweep_postponed", reason=error.message)
            except Exception:
                log.exception("sweep_failed")
            await asyncio.sleep(TICK_SECONDS)

    async def sweep(self) -> None:
        """Do all of it once. Raises Unavailable."""
        await self._epochs.ensure()
        await self.expire_due()
        await self.drain()
        await self._raise_policy_versions()
        await self.settle_plans()
        await self.close_ended()
        await self._make_months()

    async def expire_due(self) -> int:
        """Expire what is due by the ledger; return how many."""
        now = time.monotonic()
        self._set_aside_until = {
            name: until for name, until in self._set_aside_until.items() if until > now
        }
        due = await self._ledger.due_reservations(
            self._context.clock.now_ms(), _EXPIRE_MAX, list(self._set_aside_until)
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._expire(reservation_id)) for reservation_id in due]
        return sum(task.result() for task in tasks)

    async def _expire(self, reservation_id: str) -> bool:
        """Expire one; one that can't be now, or is broken, holds up no other."""
        try:
            return await expire(self._context, self._locator, reservation_id)
        except Unavailable:
            return False  # The next sweep tries again.
        except BrokenReservation:
            log.exception(
                "reservation_set_aside",
                reservation_id=reservation_id,
                way_out="audit the tenant, then rebuild its hot state",
            )
            self._set_aside_until[reservation_id] = time.monotonic() + _SET_ASIDE_SECONDS
            return False

    async def drain(self) -> int:
        """Journal what other processes left in the outboxes; return how many.

        Of very many tenants only the next ones are looked at.
        """
        epoch = await self._epochs.ensure()
        until = str(await self._hot.time_ms() - _OUTBOX_GRACE_MS)
        count = 0
        for tenant in await self._outbox.not_empty(await self._next_tenants()):
            try:
                entries = await self._outbox.read(tenant, until=until)
            except (KeyError, ValueError):
                # What can't be read holds up no other tenant.
                log.exception("outbox_unreadable", tenant=tenant)
                continue
            # An entry of an older epoch is drained when its tenant is opened, and not before.
            present = [item for item in entries if item.operations[0].epoch == epoch]
            if present:
                operations = operations_of(present)
                if await self._journal.write_each(operations):
                    # The hot state holds what is not booked: it must be made anew from the ledger.
                    await self._epochs.advance(epoch)
                    break
                await self._outbox.trim([(tenant, item.entry) for item in present])
                count += len(operations)
        if count:
            log.info("outbox_drained", operations=count)
        return count

    async def _next_tenants(self) -> list[str]:
        """Return those whose outboxes are to be looked at now."""
        tenants = await self._ledger.some_opened_tenants(self._drained_to, _DRAINED_LEAST)
        if not tenants and self._drained_to:
            tenants = await self._ledger.some_opened_tenants("", _DRAINED_LEAST)
        self._drained_to = tenants[-1] if tenants else ""
        return tenants

    async def _raise_policy_versions(self) -> None:
        """Tell of new policies, once in an epoch; a tenant that is not open yet is told again."""
        told: dict[str, tuple[int | None, int]] = {}
        for tenant, version in await self._ledger.recent_policy_versions():
            # Submissions ask no script that could say so.
            self._context.policies.outdate(tenant, version)
            news = self._hot.epoch, version
            if self._told.get(tenant) == news or await self._hot.raise_policy_version(
                tenant, version
            ):
                told[tenant] = news
        self._told = told

    async def settle_plans(self) -> None:
        """Make and void the grants of plans that nobody has finished."""
        pending = await self._ledger.pending_accounts(list(self._set_aside_until), _PLANS_MAX)
        for account in pending:
            try:
                await settle_grants(self._context, account)
            except PaymasterError as error:
                if isinstance(error, Unavailable):
                    raise
                # One that can't be settled holds up no other.
                log.exception("plan_set_aside", account=account)
                self._set_aside_until[account] = time.monotonic() + _SET_ASIDE_SECONDS

    async def close_ended(self) -> None:
        """Close the accounts whose end has come, in the books; they reserve nothing since."""
        now_ms = self._context.clock.now_ms()
        ended = await self._ledger.ended_accounts(now_ms, list(self._set_aside_until), _ENDS_MAX)
        for account in ended:
            try:
                await update_account(self._context, account, _CLOSED, _AT_ITS_END)
            except PaymasterError as error:
                if isinstance(error, Unavailable):
                    raise
                log.exception("end_set_aside", account=account)
                self._set_aside_until[account] = time.monotonic() + _SET_ASIDE_SECONDS

    async def _make_months(self) -> None:
        """Make the ledger's partitions for this month and the next, once an hour."""
        if time.monotonic() - self._months_made_at < _MONTH_SECONDS:
            return
        async with self._database.connection() as connection:
            await connection.execute(statements()["ensure_months"])
        self._months_made_at = time.monotonic()
