"""Clients that spend from the budgets of some tenants, in every way, and repeat what is unanswered.

Grants are made before and never spent whole, and no limit is changed: then each answer follows
from the ledger alone, and the history checker knows it exactly.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

from authorities import legs_of, new_key
from authority.v1 import budget_service_pb2 as budget
from chaos.calls import UNANSWERED, WAYS, Item, send
from history import Call

ACCOUNTS = ("team", "ann", "bob")
_AGAIN_SECONDS = 0.05
_THOUSAND = 1_000
_ALLOWED = ("FAILED_PRECONDITION",)


async def make_tenant(stubs, number):
    """Make a tenant of one of four sorts; return its name."""
    tenant, sort = f"t{number}", number % 4
    team, ann, bob = (f"{tenant}/{name}" for name in ACCOUNTS)
    policy = ("AVAILABLE", "CAP", "AVAILABLE", "DEBT")[sort]
    made = await stubs.account(tenant)
    await stubs.account(team, parent=tenant)
    await stubs.account(ann, parent=team, overage_policy=f"OVERAGE_POLICY_{policy}")
    await stubs.account(bob, parent=team)
    await stubs.set_budget(tenant, 900 * _THOUSAND, window="TOTAL", name="all")
    await stubs.set_budget(team, 600 * _THOUSAND, window="DAY", name="day")
    await stubs.set_budget(ann, 400 * _THOUSAND, window="DAY", name="day")
    await stubs.set_budget(tenant, 200_000, unit="IMAGES", window="DAY", name="images")
    if sort == 1:
        await stubs.set_budget(tenant, 40, unit="RESERVATIONS", window="TOTAL", name="open")
        # Within the hours that the clock is moved by.
        end = made.create_time.seconds + 7_200
        await stubs.grant(tenant, "CREDITS", 10**12, expire_time=end)
        await stubs.grant(ann, "CREDITS", 10**12, priority=1)
    if sort == 2:
        await stubs.set_budget(
            team, 250 * _THOUSAND, window="TOTAL", enforcement="DOWNGRADE", name="soft"
        )
    return tenant


class Load:
    """All clients, and the history that they write."""

    def __init__(self, pair, tenants, seed, *, clients, width) -> None:
        self.pair = pair
        self.calls: list[Call] = []
        self.odd: list[str] = []  # answers that nothing explains
        self.attempts = Counter()
        self.reasons = Counter()
        self.heard = [0.0] * len(pair)  # the latest start of a call that each has answered
        self.stopping = asyncio.Event()
        self.giving_up = asyncio.Event()
        self._clients = [
            _Client(self, random.Random(f"{seed} {number}"), tenants, WAYS[number % 3], width)
            for number in range(clients)
        ]
        self._group = asyncio.TaskGroup()

    async def __aenter__(self):
        await self._group.__aenter__()
        for client in self._clients:
            self._group.create_task(client.run())
        return self

    async def __aexit__(self, *error):
        self.stopping.set()
        await self._group.__aexit__(*error)


class _Client:
    """One caller: makes some reservations at once and settles each by a plan of its own."""

    def __init__(self, load, choice, tenants, way, width) -> None:
        self._load, self._choice, self._way = load, choice, way
        self._tenants = tenants
        self._width = width if way != "unary" else max(width // 5, 1)
        self._later = []  # (when, reservation): to be committed late

    async def run(self):
        while not self._load.stopping.is_set():
            tenant = self._choice.choice(self._tenants)
            wanted = [self._reserve(tenant) for _ in range(self._width)]
            answers = await self._ask(tenant, wanted)
            plans = [(answer.reservation, self._plan()) for answer in answers if answer.reservation]
            if any(answer.outcome == "denied" for answer in answers):
                await self._make_room(tenant)
            plans += self._due()
            while plans := [(held, plan) for held, plan in plans if plan]:
                steps = [(held, plan[0](held)) for held, plan in plans]
                # A reservation made elsewhere is of another tenant: the history has its own.
                answers = await self._ask(tenant, [step for _, step in steps])
                plans = [
                    (answer.reservation or held, plan[1:])
                    for (held, plan), answer in zip(plans, answers, strict=True)
                ]

    # Asking.

    async def _ask(self, tenant, items):
        """Send operations until each is answered."""
        answers = [UNANSWERED] * len(items)
        start = time.monotonic()
        left = list(range(len(items)))
        while left and not self._load.giving_up.is_set():
            at = self._choice.randrange(len(self._load.pair))
            asked = time.monotonic()
            found = await send(self._load.pair[at], self._way, [items[number] for number in left])
            for number, answer in zip(left, found, strict=True):
                answers[number] = answer
                self._load.attempts[answer.outcome] += 1
                if answer.outcome == "unknown":
                    self._load.reasons[at, answer.text[:70]] += 1
                if answer.outcome != "unknown":
                    self._load.heard[at] = max(self._load.heard[at], asked)
            left = [number for number in left if answers[number].outcome == "unknown"]
            if left:
                await asyncio.sleep(_AGAIN_SECONDS)
        for item, answer in zip(items, answers, strict=True):
            self._keep(tenant, item, answer, start)
        return answers

    def _keep(self, tenant, item, answer, start):
        request = item.request
        owner = getattr(request, "reservation_id", "") or getattr(request, "account", "")
        tenant = owner.partition("/")[0] or tenant
        end = float("inf") if answer.outcome == "unknown" else time.monotonic()
        call = Call(tenant, request.idempotency_key, start, end, answer.outcome, answer.text)
        self._load.calls.append(call)
        if answer.outcome == "refused" and not answer.text.startswith(_ALLOWED):
            self._load.odd.append(str(call))

    # What is asked.

    def _reserve(self, tenant):
        choice = self._choice
        account = f"{tenant}/{choice.choice(ACCOUNTS)}" if choice.random() < 0.9 else tenant
        amounts = {"USD": choice.randint(1, 100) * _THOUSAND}
        if choice.random() < 0.3:
            amounts["IMAGES"] = choice.randint(1, 4)
        if int(tenant[1:]) % 4 == 1 and choice.random() < 0.5:
            amounts["CREDITS"] = choice.randint(1, 50)
        options = [amounts]
        if choice.random() < 0.4:
            options.append({"USD": amounts["USD"] // 4 + 1})
        request = budget.ReserveRequest(
            idempotency_key=new_key(),
            account=account,
            options=[budget.Option(legs=legs_of(option)) for option in options],
        )
        if choice.random() < 0.1:
            request.mode = budget.RESERVE_MODE_BEST_EFFORT
        request.ttl.FromSeconds(choice.choice((2, 60, 60, 600)))
        return Item("reserve", request)

    def _plan(self):
        """Return the steps by which a reservation is settled: each makes a request of it."""
        part = self._commit(0.4, final=False)
        full = self._commit(self._choice.choice((0, 0.5, 0.8, 1, 1, 1.3)))
        refund = self._choice.choice(
            ([], [_refund_all], [_refund_all], [_refund_some, _refund_all])
        )
        return self._choice.choices(
            (
                [full, *refund],
                [part, full, *refund],
                [_extend_time, full, *refund],
                [_extend_amount, full, *refund],
                [_release],
                [_release, self._commit(0.5, force=True), _refund_all],
                [_release, full],  # refused
                [_refund_all],
                [full, full, _release],  # the second and third are refused
                [self._again(full), *refund],
                [self._put_off],
                [],
            ),
            (40, 10, 4, 4, 10, 3, 2, 3, 2, 6, 8, 2),
        )[0]

    def _commit(self, share, *, final=True, force=False):
        def step(held):
            amounts = {
                leg.unit: int(leg.reserved * share)
                for leg in held.legs
                if leg.reserved * share >= 1
            }
            request = budget.CommitRequest(
                idempotency_key=new_key(), reservation_id=held.reservation_id, force=force
            )
            if not final:
                request.final = False
            for unit, amount in amounts.items():
                request.actual.add(unit=unit, amount=amount)
            return Item("commit", request)

        return step

    def _again(self, step):
        """Return a step that is repeated later, as by a client that has crashed."""

        def repeated(held):
            item = step(held)
            self._later.append((0.0, held, lambda _held: item))
            return item

        return repeated

    def _put_off(self, held):
        """Extend it a little, and commit it when that may have passed."""
        when = time.monotonic() + self._choice.uniform(1, 5)
        self._later.append((when, held, self._commit(1)))
        request = budget.ExtendRequest(
            idempotency_key=new_key(), reservation_id=held.reservation_id
        )
        request.ttl.FromSeconds(1)
        return Item("extend", request)

    def _due(self):
        now = time.monotonic()
        due = [(held, [step]) for when, held, step in self._later if when <= now]
        self._later = [item for item in self._later if item[0] > now]
        return due

    async def _make_room(self, tenant):
        """Give something back, so that not all ends in denials."""
        if self._choice.random() < 0.5:
            account = f"{tenant}/{self._choice.choice(ACCOUNTS)}"
            amount = self._choice.choice((-200, -100, -50, 10)) * _THOUSAND
            request = budget.AdjustRequest(
                idempotency_key=new_key(),
                account=account,
                legs=legs_of({"USD": amount}),
                reason="room",
            )
            await self._ask(tenant, [Item("adjust", request)])


def _release(held):
    request = budget.ReleaseRequest(idempotency_key=new_key(), reservation_id=held.reservation_id)
    return Item("release", request)


def _refund_all(held):
    request = budget.RefundRequest(idempotency_key=new_key(), reservation_id=held.reservation_id)
    return Item("refund", request)


def _refund_some(held):
    item = _refund_all(held)
    for leg in held.legs:
        if leg.charged - leg.refunded >= 2:
            item.request.legs.add(unit=leg.unit, amount=(leg.charged - leg.refunded) // 2)
    return item


def _extend_time(held):
    request = budget.ExtendRequest(idempotency_key=new_key(), reservation_id=held.reservation_id)
    request.ttl.FromSeconds(120)
    return Item("extend", request)


def _extend_amount(held):
    item = _extend_time(held)
    item.request.legs.add(unit=held.legs[0].unit, amount=max(held.legs[0].reserved // 2, 1))
    return item
