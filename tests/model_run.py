"""Runs operations on the authority and on the model, and compares answers and counts."""

from __future__ import annotations

import itertools

import grpc

from authorities import new_key
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import resources_pb2
from calls import send
from model import DAY, Budget, Grant, Model, Refused
from refusals import Refusal

HOUR = 3_600_000
# Time passes by whole hours and everything ends half an hour later: no real second matters.
HALF = HOUR // 2
PARENTS = {"user": "team", "team": "tenant"}
# What the authority says of a refusal that the model calls by the name on the left.
REASONS = {
    "DENIED": "DENIED",
    "EXCEEDS": "REFUND_EXCEEDS_CHARGE",
    "NOT_HELD": "INVALID_FIELD",
    "COMMITTED": "RESERVATION_STATE",
    "RELEASED": "RESERVATION_STATE",
    "EXPIRED": "RESERVATION_STATE",
}
_names = (f"t{number}" for number in itertools.count())


class Run:
    """A world, and what was done in it."""

    def __init__(self, stubs, core, overage, budgets) -> None:
        self.stubs, self.core = stubs, core
        self.tenant = next(_names)
        self.model = Model(PARENTS, overage)
        self.budgets = budgets
        self.reservations = {}  # number -> id
        self.grants = {}  # number -> id
        self.count = 0
        self.done = []

    def name(self, account):
        """Return the id of one of the three accounts."""
        return self.tenant if account == "tenant" else f"{self.tenant}/{account}"

    async def __aenter__(self):
        # The sweeper runs when the operations say so, and not by itself.
        self.core.sweeper.sweep = _nothing
        clock = self.core.hot.clock
        clock.offset_ms = 0
        # Half past the first hour of a day to come, so that days begin between the operations.
        clock.offset_ms = DAY - clock.now_ms() % DAY + HOUR + HALF
        self.model.now = clock.now_ms()
        for account in ("tenant", "team", "user"):
            parent = PARENTS.get(account)
            await self.stubs.account(
                self.name(account),
                parent=self.name(parent) if parent else "",
                overage_policy=f"OVERAGE_POLICY_{self.model.overage[account]}",
            )
        for number, fields in enumerate(self.budgets):
            budget = self.model.budgets[number] = Budget(**fields)
            await self.stubs.set_budget(
                self.name(budget.account),
                budget.limit,
                unit=budget.unit,
                window="DAY" if budget.daily else "TOTAL",
                enforcement=budget.enforcement,
                name=f"b{number}",
            )
        return self

    async def __aexit__(self, *error):
        self.core.hot.clock.offset_ms = 0

    async def do(self, verb, *arguments):
        """Do one operation on both sides and compare what is counted after it."""
        await getattr(self, verb)(*arguments)
        await self.compare(verb, arguments)

    async def compare(self, *about):
        """Compare every budget and every grant."""
        found = await self.stubs.balance(self.name("user"))
        for number, budget in self.model.budgets.items():
            window = self.model.window(number)
            expected = (*self.model.counts(window), self.model.free(window))
            assert found[self.name(budget.account), f"b{number}"] == expected, (about, budget)
        listed = {}
        for account in {grant.account for grant in self.model.grants.values()}:
            request = admin.ListGrantsRequest(account=self.name(account), page_size=1_000)
            listed |= {row.grant_id: row for row in (await send(self.stubs, request)).grants}
        for number, grant_id in self.grants.items():
            row = listed[grant_id]
            counts = (row.reserved, row.committed, row.refunded)
            assert counts == self.model.lot_counts(number), (about, self.model.grants[number])

    async def both(self, work, call):
        """Do an operation on both sides; return its answer, or None if both refuse it."""
        expected = None
        try:
            work()
        except Refused as refusal:
            expected = str(refusal)
        try:
            answer = await call()
        except grpc.aio.AioRpcError as error:
            refusal = Refusal.of(error)
            assert refusal.reason in {REASONS.get(expected), _other(expected)}, (refusal, expected)
            return None
        assert expected is None, (expected, answer)
        self.done.append((call, answer))
        return answer

    def same(self, number, found):
        """Compare a reservation."""
        held = self.model.reservations[number]
        assert resources_pb2.ReservationState.Name(found.state) == f"RESERVATION_STATE_{held.state}"
        assert found.late == held.late
        legs = {
            resources_pb2.Unit.Name(leg.unit).removeprefix("UNIT_"): (
                leg.reserved,
                leg.held,
                leg.actual,
                leg.charged,
                leg.refunded,
            )
            for leg in found.legs
        }
        assert legs == {
            unit: (leg.reserved, leg.held, leg.actual, leg.charged, leg.refunded)
            for unit, leg in held.legs.items()
            if unit != "RESERVATIONS"
        }
        receipts = [
            (row.grant_id, row.reserved, row.held, row.charged, row.refunded)
            for row in found.grants
        ]
        assert sorted(receipts) == sorted(
            (self.grants[lot], part.reserved, part.held, part.charged, part.refunded)
            for lot, part in held.lots.items()
        )

    def pick(self, number):
        """Return a reservation: mostly one that is open, or was charged."""
        known = [
            number
            for number, held in sorted(self.model.reservations.items())
            if held.state == "HELD" or any(leg.charged > leg.refunded for leg in held.legs.values())
        ] or sorted(self.reservations)
        return known[-1 - number % len(known)] if known else None

    # The operations.

    async def reserve(self, account, named, hours, mode):
        """Reserve, or check; an option is its name and amounts."""
        names, options = [name for name, _ in named], [amounts for _, amounts in named]
        number = self.count = self.count + 1
        ttl = hours * HOUR + HALF
        key, chosen = new_key(), []

        def work():
            chosen.append(self.model.reserve(number, account, options, names, ttl, mode))

        def call():
            return self.stubs.reserve(
                self.name(account),
                *options,
                names=names,
                key=key,
                ttl=ttl / 1e3,
                mode=f"RESERVE_MODE_{mode}",
            )

        answer = await self.both(work, call)
        if answer is None:
            return
        index, amounts = chosen[0]
        found = answer.reservation
        assert found.option_index == index % len(options)
        better = {name or str(place) for place, name in enumerate(names[: found.option_index])}
        chosen_name = names[found.option_index] or str(found.option_index)
        assert answer.HasField("passed_over") == bool(better - {chosen_name})
        assert {leg.unit: leg.reserved for leg in found.legs} == {
            resources_pb2.Unit.Value(f"UNIT_{unit}"): amount for unit, amount in amounts.items()
        }
        if mode == "CHECK_ONLY":
            self.done.pop()  # asked again, it answers what is so then
        else:
            self.reservations[number] = found.reservation_id
            self.same(number, found)

    async def _settle(self, number, work, call):
        number = self.pick(number)
        if number is None:
            return
        answer = await self.both(lambda: work(number), lambda: call(self.reservations[number]))
        if answer is not None:
            self.same(number, answer.reservation)

    async def commit(self, number, actual, final, force):
        """Commit."""
        key = new_key()
        await self._settle(
            number,
            lambda number: self.model.commit(number, actual, final=final, force=force),
            lambda name: self.stubs.commit(name, actual, key=key, final=final, force=force),
        )

    async def release(self, number):
        """Release."""
        key = new_key()
        await self._settle(
            number, self.model.release, lambda name: self.stubs.release(name, key=key)
        )

    async def refund(self, number, amounts):
        """Refund a part, or all."""
        key = new_key()
        await self._settle(
            number,
            lambda number: self.model.refund(number, amounts),
            lambda name: self.stubs.refund(name, amounts, key=key),
        )

    async def extend(self, number, hours, amounts):
        """Extend in time, and in amount."""
        key, ttl = new_key(), hours * HOUR + HALF
        await self._settle(
            number,
            lambda number: self.model.extend(number, ttl, amounts),
            lambda name: self.stubs.extend(name, amounts, key=key, ttl=ttl / 1e3),
        )

    async def adjust(self, account, amounts):
        """Adjust."""
        key = new_key()
        await self.both(
            lambda: self.model.adjust(account, amounts),
            lambda: self.stubs.adjust(self.name(account), amounts, key=key),
        )

    async def grant(self, account, unit, amount, priority, hours):
        """Grant; hours of 0 are for ever."""
        number = len(self.grants)
        end = self.model.now + hours * HOUR + HALF if hours else 0
        self.model.grants[number] = Grant(account, unit, amount, priority, end)
        fields = {"expire_time": end / 1000} if end else {}
        made = await self.stubs.grant(self.name(account), unit, amount, priority=priority, **fields)
        self.grants[number] = made.grant_id

    async def void(self, number):
        """Void a grant."""
        if self.grants:
            number %= len(self.grants)
            self.model.void(number)
            await self.stubs.void_grant(self.grants[number])

    async def limit(self, number, limit):
        """Change a budget's limit."""
        number %= len(self.model.budgets)
        budget = self.model.budgets[number]
        budget.limit = limit
        message = resources_pb2.Budget(
            account=self.name(budget.account), budget=f"b{number}", limit=limit
        )
        request = admin.UpdateBudgetRequest(budget=message)
        request.update_mask.paths.append("limit")
        await send(self.stubs, request)

    async def replay(self, number):
        """Ask again: the first answer, and nothing is done."""
        if self.done:
            call, first = self.done[-1 - number % len(self.done)]
            again = await call()
            assert again.replayed
            again.replayed = False
            assert again == first

    async def pass_time(self, hours):
        """Let time pass."""
        self.model.now += hours * HOUR
        self.core.hot.clock.offset_ms += hours * HOUR

    async def sweep(self):
        """Expire what is due."""
        self.model.expire()
        await self.core.sweeper.expire_due()

    async def lose(self):
        """Empty the hot store: all of it must come back from the ledger."""
        await self.core.hot.redis.flushdb()


def _other(expected):
    return "ALREADY_COMMITTED" if expected == "COMMITTED" else None


async def _nothing():
    pass
