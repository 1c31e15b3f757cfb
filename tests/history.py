"""The history checker: what clients were told, held against the ledger and the model.

Load from many clients keeps every call with its answer. The checker then takes the ledger in the
order that the hot store assigned, replays each tenant through the model (replay.py), and says
whether every answer was allowed, every acknowledged operation is in the ledger exactly once, and
no limit was passed.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from typing import NamedTuple

import psycopg
from psycopg.rows import dict_row

from authority.domain.operations import Operation
from authority.v1 import resources_pb2
from model import Budget
from replay import Replay

_EXAMPLES_MAX = 20


class Call(NamedTuple):
    """A call and what its client knows of it; repeated until answered, it is one call.

    `outcome` is `acknowledged` (with the answer as `told` gives it), `denied`, `refused` (with the
    reason) or `unknown`. Times are seconds of one monotonic clock; the end of an unknown one is
    infinite.
    """

    tenant: str
    key: str
    start: float
    end: float
    outcome: str
    answer: str


class Books(NamedTuple):
    """What the ledger has. `operations` are by tenant, in the order of their sequence."""

    accounts: list[dict]
    budgets: dict[int, Budget]
    grant_keys: dict[str, int]
    operations: dict[str, list[Operation]]


class Report(NamedTuple):
    """What was found; nothing is wrong if the numbers from `lost` to `disallowed` are 0."""

    operations: int
    acknowledged: int
    lost: int  # acknowledged, and not in the ledger
    doubled: int  # done more than once
    overspent: int  # passed a limit that blocks
    disallowed: int  # answered, or decided, as the model does not allow
    examples: list[str]

    @property
    def is_clean(self):
        """Say whether nothing is wrong."""
        return not (self.lost or self.doubled or self.overspent or self.disallowed)


def told(reservation):
    """Return what a client was told of a reservation, in the ledger's own form."""
    legs = (
        ":".join(
            map(
                str,
                (
                    resources_pb2.Unit.Name(leg.unit).removeprefix("UNIT_"),
                    leg.reserved,
                    leg.held,
                    leg.actual,
                    leg.charged,
                    leg.refunded,
                ),
            )
        )
        for leg in reservation.legs
    )
    state = resources_pb2.ReservationState.Name(reservation.state)
    return " ".join(
        (
            reservation.reservation_id,
            state.removeprefix("RESERVATION_STATE_"),
            str(reservation.option_index),
            "late" if reservation.late else "",
            *legs,
        )
    )


def booked(operation):
    """Return the same of what the ledger has."""
    held = operation.reservation
    if held is None:
        return operation.operation_id  # of an Adjust
    legs = (":".join(map(str, leg)) for leg in held.legs if leg.unit != "RESERVATIONS")
    late = "late" if held.late else ""
    return " ".join((held.reservation_id, held.state, str(held.option_index), late, *legs))


async def read_books(url):
    """Read the ledger."""
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:

        async def rows(statement, *parameters):
            return await (await connection.execute(statement, parameters)).fetchall()

        accounts = await rows("SELECT account, tenant, parent, overage_policy FROM account")
        budgets = {
            row["budget_key"]: Budget(
                row["account"],
                row["unit"],
                row["limit_amount"],
                row["enforcement"],
                row["window"] == "DAY",
            )
            for row in await rows("SELECT * FROM budget WHERE \"window\" IN ('DAY', 'TOTAL')")
        }
        grants = await rows("SELECT grant_id, grant_key FROM account_grant")
        operations = {}
        for tenant in sorted({row["tenant"] for row in accounts}):
            found = await rows(
                "SELECT request, result FROM operation WHERE tenant = %s ORDER BY sequence", tenant
            )
            operations[tenant] = [Operation.decode(row["request"], row["result"]) for row in found]
        keys = {row["grant_id"]: row["grant_key"] for row in grants}
        return Books(accounts, budgets, keys, operations)


class _Findings:
    def __init__(self):
        self.counts = Counter()
        self.examples = []

    def add(self, kind, text):
        self.counts[kind] += 1
        if len(self.examples) < _EXAMPLES_MAX:
            self.examples.append(f"{kind}: {text}")


def check(books, calls):
    """Hold a history against the books. Return a Report."""
    found = _Findings()
    by_tenant = defaultdict(list)
    for call in calls:
        by_tenant[call.tenant].append(call)
    for tenant, operations in books.operations.items():
        _check_replay(books, tenant, operations, found)
        _check_doubled(operations, found)
        _check_calls(operations, by_tenant.pop(tenant, []), found)
    for tenant, left in by_tenant.items():
        for call in left:
            if call.outcome == "acknowledged":
                found.add("lost", f"{tenant} is not in the ledger: {call}")
    count = found.counts
    return Report(
        sum(map(len, books.operations.values())),
        sum(call.outcome == "acknowledged" for call in calls),
        count["lost"],
        count["doubled"],
        count["overspent"],
        count["disallowed"],
        found.examples,
    )


def _check_replay(books, tenant, operations, found):
    replay = Replay(books, tenant, operations)
    last = 0
    for item in operations:
        if item.sequence > last + 1:
            found.add("disallowed", f"{tenant} has nothing between {last} and {item.sequence}")
        last = item.sequence
        for wrong in replay.follow(item):
            kind = "overspent" if wrong.startswith("OVERSPENT") else "disallowed"
            found.add(kind, f"{tenant} {item.sequence} {item.kind}: {wrong}: {item.result}")


def _check_doubled(operations, found):
    for name in ("idempotency_key", "operation_id", "sequence"):
        counts = Counter(getattr(item, name) for item in operations)
        for value, count in counts.items():
            if count > 1 and value is not None:
                found.add("doubled", f"{count} operations have the {name} {value}")


def _check_calls(operations, calls, found):
    by_key = {item.idempotency_key: item for item in operations if item.idempotency_key}
    acknowledged = {call.key for call in calls if call.outcome == "acknowledged"}
    epochs = _epochs_seen(by_key, calls)
    for call in calls:
        item = by_key.get(call.key)
        if call.outcome == "acknowledged":
            if item is None:
                found.add("lost", str(call))
            elif item.denied is not None or booked(item) != call.answer:
                found.add("disallowed", f"{call} was told, and the ledger has {booked(item)}")
        elif item is not None and call.outcome == "denied":
            # A denial is not waited for, so it may be lost with the hot store; an attempt of the
            # same call that was on its way all the time is then decided anew.
            if (
                item.denied is None
                and call.key not in acknowledged
                and item.epoch <= epochs.before(call.start)
            ):
                found.add("disallowed", f"{call} was denied, and the ledger has {item.result}")
        elif item is not None and call.outcome == "refused" and call.key not in acknowledged:
            found.add("disallowed", f"{call} was refused, and the ledger has {item.result}")
    _check_order(operations, calls, found)


class _EpochsSeen:
    """The newest epoch of a tenant, as it was known from what had been acknowledged."""

    def __init__(self, seen):
        self._times, self._epochs, newest = [], [], 0
        for time, epoch in sorted(seen):
            newest = max(newest, epoch)
            self._times.append(time)
            self._epochs.append(newest)

    def before(self, time):
        """Return the newest epoch that something was acknowledged in before a time; 0 for none."""
        at = bisect_left(self._times, time)
        return self._epochs[at - 1] if at else 0


def _epochs_seen(by_key, calls):
    return _EpochsSeen(
        (call.end, by_key[call.key].epoch)
        for call in calls
        if call.outcome == "acknowledged" and call.key in by_key
    )


def _check_order(operations, calls, found):
    """What was answered before something else was asked comes before it in the ledger too."""
    starts, ends = {}, {}
    for call in calls:
        starts[call.key] = min(call.start, starts.get(call.key, call.start))
        if call.outcome == "acknowledged":
            ends[call.key] = min(call.end, ends.get(call.key, call.end))
    latest = 0.0
    for item in operations:
        if ends.get(item.idempotency_key, latest) < latest:
            found.add("disallowed", f"{item.sequence} was answered before an earlier one was asked")
        latest = max(latest, starts.get(item.idempotency_key, 0.0))


def write_calls(path, calls):
    """Write a history as JSON lines."""
    with path.open("w") as file:
        for call in calls:
            file.write(json.dumps(call._asdict()) + "\n")


def read_calls(path):
    """Read what `write_calls` wrote."""
    with path.open() as file:
        return [Call(**json.loads(line)) for line in file]
