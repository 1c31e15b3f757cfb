"""The meaning of the operations in plain Python: what the authority must answer, and nothing else.

One tenant. Nothing is counted: every number is the sum of what the reservations say of themselves.
Budgets are of the whole life or of a UTC day. Times are in milliseconds, amounts in ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DAY = 86_400_000
LIFE = 7 * DAY


@dataclass
class Budget:
    """A limit on a unit of an account."""

    account: str
    unit: str
    limit: int
    enforcement: str = "BLOCK"
    daily: bool = False


@dataclass
class Grant:
    """A lot on an account; `end` is when it expires, or was voided; 0 for never."""

    account: str
    unit: str
    amount: int
    priority: int = 0
    end: int = 0
    voided: bool = False

    def active(self, now):
        """Say whether it may be spent."""
        return not self.voided and (self.end == 0 or now < self.end)


@dataclass
class Leg:
    """The numbers of a reservation in one unit, or what it took from one grant."""

    reserved: int = 0
    held: int = 0
    actual: int = 0
    charged: int = 0
    refunded: int = 0


@dataclass
class Held:
    """A reservation."""

    account: str
    legs: dict[str, Leg]
    windows: list[tuple[int, int]]  # (number of the budget, number of the day)
    created: int
    expires: int
    lots: dict[int, Leg] = field(default_factory=dict)  # grant number -> part, as they were taken
    state: str = "HELD"
    late: bool = False


class Refused(Exception):
    """The operation was not done; the argument says why."""


@dataclass
class Model:
    """Accounts, what limits them, and what was reserved."""

    parents: dict[str, str]
    overage: dict[str, str] = field(default_factory=dict)
    budgets: dict[int, Budget] = field(default_factory=dict)
    grants: dict[int, Grant] = field(default_factory=dict)
    now: int = 0
    reservations: dict[int, Held] = field(default_factory=dict)
    adjusted: list[tuple[dict, dict]] = field(default_factory=list)  # windows, lots: amounts

    def chain(self, account):
        """Return the account and those above it."""
        while account:
            yield account
            account = self.parents.get(account, "")

    # What is counted.

    def counts(self, window):
        """Return (reserved, committed, refunded) of a window."""
        unit = self.budgets[window[0]].unit
        legs = [held.legs[unit] for held in self._on("windows", window)]
        more = [windows[window] for windows, _ in self.adjusted if window in windows]
        return (
            sum(leg.held for leg in legs),
            sum(leg.charged for leg in legs) + sum(amount for amount in more if amount > 0),
            sum(leg.refunded for leg in legs) - sum(amount for amount in more if amount < 0),
        )

    def lot_counts(self, number):
        """Return the same of a grant."""
        parts = [held.lots[number] for held in self._on("lots", number)]
        more = sum(lots.get(number, 0) for _, lots in self.adjusted)
        return (
            sum(part.held for part in parts),
            sum(part.charged for part in parts) + more,
            sum(part.refunded for part in parts),
        )

    def _on(self, name, key):
        return [held for held in self.reservations.values() if key in getattr(held, name)]

    def window(self, number):
        """Return the window of a budget that is in force."""
        return (number, self.now // DAY if self.budgets[number].daily else 0)

    def free(self, window):
        """Return what a budget has left in a window."""
        reserved, committed, refunded = self.counts(window)
        return self.budgets[window[0]].limit - reserved - committed + refunded

    def left(self, number):
        """Return what is left of a grant."""
        reserved, committed, refunded = self.lot_counts(number)
        return self.grants[number].amount - reserved - committed + refunded

    # What limits.

    def windows(self, account, units):
        """Return the windows in force that bind an account in some units."""
        chain = set(self.chain(account))
        return [
            self.window(number)
            for number, budget in self.budgets.items()
            if budget.account in chain and budget.unit in units
        ]

    def lots(self, account, unit):
        """Return the grants that may be spent, in order; None if the unit is not prepaid."""
        chain = set(self.chain(account))
        numbers = [
            number
            for number, grant in self.grants.items()
            if grant.account in chain and grant.unit == unit
        ]
        if not numbers:
            return None
        active = [number for number in numbers if self.grants[number].active(self.now)]

        def order(number):
            grant = self.grants[number]
            return (grant.priority, grant.end == 0, grant.end, number)

        return sorted(active, key=order)

    def pool(self, account, unit):
        """Return what grants have left in all, less what is owed; None if it is not prepaid."""
        lots = self.lots(account, unit)
        if lots is None:
            return None
        chain = set(self.chain(account))
        owed = sum(
            min(self.left(number), 0)
            for number, grant in self.grants.items()
            if grant.account in chain and grant.unit == unit
        )
        return sum(max(self.left(number), 0) for number in lots) + owed

    def _fits(self, account, amounts, *, is_lowest):
        if not all(self._metered(account, unit) for unit in amounts):
            return False
        for window in self.windows(account, amounts):
            budget = self.budgets[window[0]]
            denies = budget.enforcement == "BLOCK" or (
                budget.enforcement == "DOWNGRADE" and not is_lowest
            )
            if denies and amounts[budget.unit] > self.free(window):
                return False
        pools = {unit: self.pool(account, unit) for unit in amounts}
        return all(pool is None or amounts[unit] <= pool for unit, pool in pools.items())

    def _metered(self, account, unit):
        """Say whether a unit may be spent: money only where something limits it."""
        limited = self.windows(account, {unit}) or self.lots(account, unit) is not None
        return limited or unit not in {"USD", "CREDITS"}

    def _take(self, held, unit, amount, name):
        """Take an amount from the grants in order; return what they did not have."""
        for number in self.lots(held.account, unit) or ():
            part = min(max(self.left(number), 0), amount)
            if part:
                lot = held.lots.setdefault(number, Leg())
                if name == "held":
                    lot.reserved += part
                setattr(lot, name, getattr(lot, name) + part)
                amount -= part
        return amount

    # The operations.

    def expire(self):
        """Give back what is due."""
        for held in self.reservations.values():
            if held.state == "HELD" and held.expires <= self.now:
                self._settle(held, "EXPIRED")

    def reserve(self, number, account, options, names, ttl, mode="NORMAL"):
        """Hold the first option that fits. Return (its index, amounts).

        A soft cap spares the options that have the last one's name.
        """
        chosen = self._choose(account, options, names)
        if chosen is None and any(self._may_ever(account, option) for option in options):
            self.expire()  # only what is in the way is reclaimed
            chosen = self._choose(account, options, names)
        if chosen is None and mode == "BEST_EFFORT":
            chosen = self._best_effort(account, options[-1])
        if chosen is None:
            raise Refused("DENIED")
        if mode != "CHECK_ONLY":
            self._hold(number, account, chosen[1], ttl)
        return chosen

    def _hold(self, number, account, amounts, ttl):
        if self.windows(account, {"RESERVATIONS"}):
            amounts = {**amounts, "RESERVATIONS": 1}
        legs = {unit: Leg(amount, amount) for unit, amount in amounts.items()}
        windows = self.windows(account, amounts)
        held = Held(account, legs, windows, self.now, self.now + ttl)
        self.reservations[number] = held
        for unit, amount in amounts.items():
            self._take(held, unit, amount, "held")

    def _choose(self, account, options, names):
        for index, amounts in enumerate(options):
            is_lowest = index == len(options) - 1 or bool(
                names[index] and names[index] == names[-1]
            )
            if self._may_open(account) and self._fits(account, amounts, is_lowest=is_lowest):
                return index, amounts
        return None

    def _may_open(self, account):
        return all(self.free(window) >= 1 for window in self.windows(account, {"RESERVATIONS"}))

    def _may_ever(self, account, amounts):
        return not self._may_open(account) or all(self._metered(account, unit) for unit in amounts)

    def _best_effort(self, account, amounts):
        left = {unit: self._most(account, unit, amount) for unit, amount in amounts.items()}
        fits = min(left.values()) >= 1 and self._may_open(account)
        fits = fits and self._fits(account, left, is_lowest=True)
        return (-1, left) if fits else None

    def _most(self, account, unit, amount):
        free = [self.free(window) for window in self._blocking(self.windows(account, {unit}))]
        amount = min([amount, *free])
        pool = self.pool(account, unit)
        return amount if pool is None else min(amount, pool)

    def commit(self, number, actual, *, final=True, force=False):
        """Charge; what is above the hold follows the overage policy."""
        held = self.reservations[number]
        if held.state == "COMMITTED" or (held.state == "RELEASED" and not force):
            raise Refused(held.state)
        held.late = held.late or held.state != "HELD" or held.expires <= self.now
        for unit, cost in actual.items():
            leg = held.legs.setdefault(unit, Leg())
            leg.actual += cost
            base, extra = self._charge(held, unit, leg, cost)
            leg.charged += base + extra
        if final:
            self._settle(held, "COMMITTED")

    def _charge(self, held, unit, leg, cost):
        is_held = held.state == "HELD"
        base = min(cost, leg.held if is_held else max(leg.reserved - leg.charged, 0))
        free, policy = self._above(held, unit, leg, base), self.overage.get(held.account)
        extra = 0 if policy == "CAP" else min(cost - base, free)
        rest = base
        for lot, part in held.lots.items():
            if self.grants[lot].unit == unit:
                own = part.held if is_held else max(part.reserved - part.charged, 0)
                own = min(own, rest)
                part.charged += own
                part.held -= own if is_held else 0
                rest -= own
        leg.held -= base if is_held else 0
        debtor = self._debtor(held, unit)
        if debtor is not None and (owed := self._take(held, unit, extra, "charged")):
            held.lots.setdefault(debtor, Leg()).charged += owed
        return base, extra

    def _debtor(self, held, unit):
        """Return the grant that carries what none has: the last active one, or the last held."""
        own = [lot for lot in held.lots if self.grants[lot].unit == unit]
        return next(reversed(self.lots(held.account, unit) or own), None)

    def _above(self, held, unit, leg, base):
        """Return what may be charged above the hold."""
        windows = [item for item in held.windows if self.budgets[item[0]].unit == unit]
        pool = self.pool(held.account, unit)
        if not windows and self._debtor(held, unit) is None:
            return 0
        if self.overage.get(held.account) == "DEBT":
            return 2**53
        free = [2**53, *(self.free(window) + leg.held - base for window in self._blocking(windows))]
        if pool is not None:
            free.append(pool - (0 if held.state == "HELD" else base))
        return max(min(free), 0)

    def _blocking(self, windows):
        return [window for window in windows if self.budgets[window[0]].enforcement == "BLOCK"]

    def _settle(self, held, state):
        held.state = state
        for part in (*held.legs.values(), *held.lots.values()):
            part.held = 0

    def release(self, number):
        """Give back what is held."""
        held = self.reservations[number]
        if held.state == "COMMITTED":
            raise Refused(held.state)
        if held.state == "HELD":
            self._settle(held, "RELEASED")

    def refund(self, number, amounts=None):
        """Give a charge back, from the grant that was charged last."""
        held = self.reservations[number]
        charged = any(leg.charged for leg in held.legs.values())
        if not charged and held.state in {"RELEASED", "EXPIRED"}:
            raise Refused(held.state)
        if charged or held.state != "HELD":
            for unit, amount in (amounts or {}).items():
                leg = held.legs.get(unit, Leg())
                if amount > leg.charged - leg.refunded:
                    raise Refused("EXCEEDS")
        if held.state == "HELD":
            self._settle(held, "RELEASED")
        for unit, leg in held.legs.items() if charged else ():
            back = leg.charged - leg.refunded if amounts is None else amounts.get(unit, 0)
            leg.refunded += back
            for lot, part in reversed(held.lots.items()):
                if self.grants[lot].unit == unit:
                    own = min(part.charged - part.refunded, back)
                    part.refunded += own
                    back -= own

    def extend(self, number, ttl, amounts):
        """Hold longer, and more in the windows that it is held on."""
        held = self.reservations[number]
        if held.state != "HELD" or held.expires <= self.now:
            raise Refused("EXPIRED" if held.state == "HELD" else held.state)
        if not set(amounts) <= set(held.legs):
            raise Refused("NOT_HELD")
        for window in self._blocking(held.windows):
            unit = self.budgets[window[0]].unit
            if unit in amounts and amounts[unit] > self.free(window):
                raise Refused("DENIED")
        for unit, amount in amounts.items():
            pool = self.pool(held.account, unit)
            if pool is not None and amount > pool:
                raise Refused("DENIED")
        for unit, amount in amounts.items():
            held.legs[unit].reserved += amount
            held.legs[unit].held += amount
            self._take(held, unit, amount, "held")
        held.expires = max(held.expires, min(self.now + ttl, held.created + LIFE))

    def adjust(self, account, amounts):
        """Charge more or less, in the windows of now."""
        windows = self.windows(account, amounts)
        charges = {window: amounts[self.budgets[window[0]].unit] for window in windows}
        scratch = Held(account, {}, [], self.now, self.now)
        for unit, amount in amounts.items():
            lots = self.lots(account, unit) or []
            owed = self._take(scratch, unit, amount, "charged") if amount > 0 else 0
            if owed and lots:
                scratch.lots.setdefault(lots[-1], Leg()).charged += owed
        self.adjusted.append((charges, {lot: part.charged for lot, part in scratch.lots.items()}))

    def void(self, number):
        """Take back what is left of a grant."""
        self.grants[number].voided = True
