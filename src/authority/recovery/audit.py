"""The audit: recomputes every number from the ledger's entries and compares.

It runs beside traffic. What the hot state counts at some sequence must be what the entries up to
that sequence say, plus what still waits in the outbox. It is read in this order: hot state, outbox,
ledger. An operation leaves the outbox only once it is in the ledger, so none can be missed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from authority.domain.budgets import WindowRef
from authority.domain.operations import Operation
from authority.domain.ports import WindowCounts
from authority.domain.reservations import Reservation, ReservationState
from authority.hotstate.store import HotStore
from authority.ledger.audit import AuditReader, Books
from authority.ledger.usage_audit import UsageAudit
from authority.recovery.lease_audit import LeaseAudit
from authority.recovery.outbox import Outbox

_WINDOWS_AT_ONCE = 1_000
_OUTBOX_MAX = 100_000
_READINGS_MAX = 5

Record = Callable[[str, int], Awaitable[None]]
"""Keeps how many differences the audit of a tenant found."""


class Difference(NamedTuple):
    """One number that is not what the entries say."""

    tenant: str
    place: str  # ledger, window_total, reservation, hot_state or usage
    subject: str
    field: str
    expected: str
    found: str


@dataclass
class Report:
    """What an audit found. No differences means that the books balance."""

    differences: list[Difference] = field(default_factory=list)
    tenant_count: int = 0
    operation_count: int = 0
    window_count: int = 0
    reservation_count: int = 0


class Auditor:
    """Audits one tenant, or all."""

    def __init__(
        self,
        hot: HotStore,
        reader: AuditReader,
        outbox: Outbox,
        usage: UsageAudit,
        leases: LeaseAudit,
        record: Record,
    ) -> None:
        self._hot = hot
        self._reader = reader
        self._outbox = outbox
        self._usage = usage
        self._leases = leases
        self._record = record

    async def audit(self, tenants: Sequence[str], *, whole: bool = False) -> Report:
        """Audit tenants; with `whole`, what is kept of all of them too. Raises Unavailable."""
        report = Report()
        if whole:
            found = await self._usage.of_all()
            report.differences += [Difference("", "usage", *row) for row in found]
            leased = await self._leases.of_all()
            report.differences += [Difference("", "lease", *row) for row in leased]
            await self._record("", len(report.differences))
        for tenant in tenants:
            before = len(report.differences)
            books = await self._reader.books(tenant)
            report.differences += _ledger_differences(tenant, books)
            report.differences += await self._hot_windows(tenant, books)
            report.differences += await self._hot_reservations(tenant, books)
            found = await self._usage.of_tenant(tenant)
            report.differences += [Difference(tenant, "usage", *row) for row in found]
            leased = await self._leases.of_tenant(tenant)
            report.differences += [Difference(tenant, "lease", *row) for row in leased]
            report.tenant_count += 1
            report.operation_count += books.operation_count
            report.window_count += len(books.totals)
            report.reservation_count += len(books.reservations)
            await self._record(tenant, len(report.differences) - before)
        return report

    async def _hot_windows(self, tenant: str, books: Books) -> list[Difference]:
        """Compare the counts of every window that the hot state has loaded."""
        refs = sorted(books.totals)
        differences: list[Difference] = []
        for start in range(0, len(refs), _WINDOWS_AT_ONCE):
            chunk = refs[start : start + _WINDOWS_AT_ONCE]
            reading = await self._hot.read(tenant, None, chunk)
            if reading is None:
                return differences  # not open: there is no hot state to compare
            found = {
                ref: counts
                for ref, counts in zip(chunk, reading.counts, strict=True)
                if counts is not None
            }
            waiting = await self._outbox.waiting(tenant, _OUTBOX_MAX)
            entries, present = await self._reader.windows_at(
                tenant, reading.sequence, chunk, waiting
            )
            missing = [
                operation
                for operation in waiting
                if operation.operation_id not in present and operation.sequence <= reading.sequence
            ]
            expected = _add(entries, missing)
            for ref, counts in found.items():
                differences += _counts(
                    tenant, "hot_state", f"window {ref}", expected.get(ref, _ZERO), counts
                )
        return differences

    async def _hot_reservations(self, tenant: str, books: Books) -> list[Difference]:
        """Compare every reservation that the ledger says is open and the hot state has loaded."""
        differences: list[Difference] = []
        for reservation in books.reservations:
            if reservation.state is ReservationState.HELD:
                differences += await self._hot_reservation(tenant, reservation)
        return differences

    async def _hot_reservation(self, tenant: str, stored: Reservation) -> list[Difference]:
        # The two are read one after the other, so a change in between is read again.
        differences: list[Difference] = []
        subject = f"reservation {stored.reservation_id}"
        for _ in range(_READINGS_MAX):
            try:
                reading = await self._hot.read(tenant, stored.reservation_id, ())
                hot = reading and reading.reservation
                if hot is None:
                    return []
                hot.check()
            except (KeyError, ValueError):
                return [Difference(tenant, "hot_state", subject, "row", "readable", "unreadable")]
            expected = {"state": stored.state, "legs": stored.legs_text}
            found = {"state": hot.state, "legs": hot.legs_text}
            differences = [
                Difference(tenant, "hot_state", subject, name, value, found[name])
                for name, value in expected.items()
                if value != found[name]
            ]
            if not differences:
                return []
            stored = await self._reader.reservation(stored.reservation_id)
        return differences


_ZERO = WindowCounts(0, 0, 0)


def _add(
    counts: Mapping[WindowRef, WindowCounts], operations: Sequence[Operation]
) -> dict[WindowRef, WindowCounts]:
    sums = dict(counts)
    for operation in operations:
        for ref, *amounts in operation.deltas:
            before = sums.get(ref, _ZERO)
            sums[ref] = WindowCounts(*(a + b for a, b in zip(before, amounts, strict=True)))
    return sums


def _counts(
    tenant: str, place: str, subject: str, expected: WindowCounts, found: WindowCounts
) -> Iterator[Difference]:
    for name, right, value in zip(WindowCounts._fields, expected, found, strict=True):
        if right != value:
            yield Difference(tenant, place, subject, name, str(right), str(value))


def _ledger_differences(tenant: str, books: Books) -> Iterator[Difference]:
    for operation_id, balance in books.unbalanced:
        subject = f"operation {operation_id}"
        yield Difference(tenant, "ledger", subject, "balance", "0", str(balance))
    for ref in sorted(books.totals.keys() | books.windows.keys()):
        expected = books.windows.get(ref, _ZERO)
        found = books.totals.get(ref, _ZERO)
        yield from _counts(tenant, "window_total", f"window {ref}", expected, found)
    for reservation in books.reservations:
        yield from _reservation(tenant, books, reservation)


def _reservation(tenant: str, books: Books, reservation: Reservation) -> Iterator[Difference]:
    reservation_id = reservation.reservation_id
    pairs: list[tuple[str, Any, Any]] = []
    for leg in reservation.legs:
        charged, actual = books.charges.get((reservation_id, leg.unit), (0, 0))
        pairs += [
            (f"{leg.unit} charged less refunded", charged, leg.charged - leg.refunded),
            (f"{leg.unit} actual", actual, leg.actual),
        ]
        if reservation.state is not ReservationState.HELD:
            # Its entries may agree and yet leave for ever reserved what nobody holds.
            pairs.append((f"{leg.unit} held when settled", 0, leg.held))
    by_unit = {leg.unit: leg for leg in reservation.legs}
    counted = {
        ref: WindowCounts(leg.held, leg.charged, leg.refunded)
        for ref in reservation.windows
        for leg in [by_unit[ref.unit]]
    }
    for receipt in reservation.grants:
        counted[receipt.ref] = WindowCounts(receipt.held, receipt.charged, receipt.refunded)
    for ref, found in counted.items():
        counts = books.holds.get((reservation_id, ref), _ZERO)
        pairs += [
            (f"window {ref} {name}", right, value)
            for name, right, value in zip(WindowCounts._fields, counts, found, strict=True)
        ]
    for name, right, value in pairs:
        if right != value:
            yield Difference(tenant, "reservation", reservation_id, name, str(right), str(value))
