"""The model, made to follow one tenant's ledger: was each answer allowed, given what came before?

After each operation the model takes over what the ledger has, so one wrong answer is found once.
What grants are made of while there is load is not followed: they are made before, and never spent
whole, since a Reserve is right to know either of two versions of the policy for a moment.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict

from authority.domain.budgets import WindowRef
from authority.domain.operations import CACHE_KINDS, Kind
from authority.domain.reservations import ReservationState
from model import DAY, Grant, Held, Leg, Model, Refused

# One Reserve reclaims at most this many expired reservations; more may be in the way.
_RECLAIMED_MAX = 64
LEG_FIELDS = ("reserved", "held", "actual", "charged", "refunded")
LOT_FIELDS = ("reserved", "held", "charged", "refunded")


class Replay(Model):
    """A tenant's books so far."""

    def __init__(self, books, tenant, operations) -> None:
        accounts = [row for row in books.accounts if row["tenant"] == tenant]
        names = {row["account"] for row in accounts}
        super().__init__(
            {row["account"]: row["parent"] for row in accounts},
            {row["account"]: row["overage_policy"] for row in accounts},
            {key: budget for key, budget in books.budgets.items() if budget.account in names},
        )
        self._grant_keys = books.grant_keys
        self._last_use = {
            item.reservation.reservation_id: number
            for number, item in enumerate(operations)
            if item.reservation is not None
        }
        # What is settled and not named again is one sum: (charged, refunded) by window and lot.
        self._base = (defaultdict(int), defaultdict(int)), (defaultdict(int), defaultdict(int))
        self.adjusted = list(self._base)
        self._totals = defaultdict(Counter)  # ref: counts, by what the operations say of themselves
        self._number = 0

    def expire(self):
        """Do nothing: each expiry is an operation of the ledger."""

    # One operation.

    def follow(self, item):
        """Do an operation as the ledger has it; return what is wrong with it, in words."""
        self.now = item.decide_ms
        asked = json.loads(item.request)
        wrong = [*self._passed(item)]
        chosen = None
        try:
            chosen = None if item.kind in CACHE_KINDS else self._do(item, asked)
        except Refused as refusal:
            if item.denied is None or str(refusal) != "DENIED":
                wrong.append(f"the model refuses it: {refusal}")
        except KeyError as error:
            wrong.append(f"it is about something that there is not: {error}")
        else:
            if item.denied is not None and not self._many_due():
                wrong.append("it is denied, and the model does it")
        if item.denied is None:
            wrong += self._compare(item, chosen)
        if item.reservation is not None:
            self._take_over(item.reservation)
        wrong += self._counted(item)
        self._fold(item)
        self._number += 1
        return wrong

    def _do(self, item, asked):
        held = item.reservation
        name = asked.get("reservation_id") or (held and held.reservation_id)
        match item.kind:
            case Kind.RESERVE:
                options = [_amounts(legs) for _, legs in asked["options"]]
                names = [option for option, _ in asked["options"]]
                mode = asked.get("mode", "NORMAL")
                try:
                    chosen = self.reserve(
                        name, asked["account"], options, names, asked["ttl_ms"], mode
                    )
                finally:
                    if held is None:
                        self.reservations.pop(name, None)
                return chosen[0] % len(options)
            case Kind.COMMIT:
                final, force = asked.get("final", True), asked.get("force", False)
                self.commit(name, _amounts(asked["actual"]), final=final, force=force)
            case Kind.RELEASE:
                self.release(name)
            case Kind.REFUND:
                self.refund(name, _amounts(asked["legs"]) or None)
            case Kind.EXTEND:
                self.extend(name, asked["ttl_ms"], _amounts(asked["legs"]))
            case Kind.EXPIRE:
                self._expire_one(name)
            case Kind.ADJUST:
                self._adjust(asked["account"], _amounts(asked["legs"]))
            case Kind.GRANT:
                grant = item.grant
                self.grants[self._grant_keys[grant.grant_id]] = Grant(
                    grant.account, grant.unit, grant.amount, grant.priority, grant.end_ms
                )
            case _:
                raise KeyError(item.kind)
        return None

    def _expire_one(self, name):
        held = self.reservations[name]
        if held.state != "HELD" or held.expires > self.now:
            raise Refused("NOT_DUE")
        self._settle(held, "EXPIRED")

    def _adjust(self, account, amounts):
        self.adjust(account, amounts)
        windows, lots = self.adjusted.pop()
        for charged, table in ((windows, 0), (lots, 1)):
            for key, amount in charged.items():
                self._base[amount < 0][table][key] += amount

    def _many_due(self):
        due = [
            held
            for held in self.reservations.values()
            if held.state == "HELD" and held.expires <= self.now
        ]
        return len(due) > _RECLAIMED_MAX

    # What came of it.

    def _compare(self, item, chosen):
        """Say in what the ledger's reservation is not the model's."""
        found = item.reservation
        if found is None:
            return
        held = self.reservations.get(found.reservation_id)
        if held is None:
            return  # said already
        pairs = {
            "option": (found.option_index, found.option_index if chosen is None else chosen),
            "state": (str(found.state), held.state),
            "late": (found.late, held.late),
            "expiry": (found.expire_ms, held.expires),
            "windows": (set(found.windows), {self.ref(window) for window in held.windows}),
            "legs": (
                {leg.unit: leg[1:] for leg in found.legs},
                {unit: _numbers(leg, LEG_FIELDS) for unit, leg in held.legs.items()},
            ),
            "grants": (
                [(row.ref.budget_key, row[2:]) for row in found.grants],
                [(lot, _numbers(part, LOT_FIELDS)) for lot, part in held.lots.items()],
            ),
        }
        for name, (is_so, should) in pairs.items():
            if is_so != should:
                yield f"{name}: {is_so}, and the model says {should}"

    def ref(self, window):
        """Return the ledger's name of a window."""
        number, day = window
        return WindowRef(number, day * DAY, self.budgets[number].unit)

    def _counted(self, item):
        """Say where the counts of what was touched are not the model's."""
        for ref, *counts in item.deltas:
            self._totals[ref].update(dict(zip("rcf", counts, strict=True)))
        for ref in {ref for ref, *_ in item.deltas}:
            total = self._totals[ref]
            if ref.budget_key in self.budgets:
                expected = self.counts((ref.budget_key, ref.start_ms // DAY))
                found = (total["r"], total["c"], total["f"])
            else:
                expected = self.left(ref.budget_key)
                found = self.grants[ref.budget_key].amount - _net(total)
            if found != expected:
                yield f"{ref} counts {found}, and the model says {expected}"

    def _passed(self, item):
        """Say which limits were passed by an operation that must pass none."""
        if item.kind is Kind.ADJUST:
            return
        for ref, *counts in item.deltas:
            budget = self.budgets.get(ref.budget_key)
            if budget is None or budget.enforcement != "BLOCK":
                continue
            more = _net(dict(zip("rcf", counts, strict=True)))
            after = _net(self._totals[ref]) + more
            if more > 0 and after > budget.limit and not self._may_pass(item):
                yield f"OVERSPENT: {ref} stands at {after} of {budget.limit}"

    def _may_pass(self, item):
        """Say whether an operation charges a cost that is never refused.

        What comes late is charged its hold once more, since that had been admitted.
        """
        held = item.reservation
        owes = self.overage.get(item.account) == "DEBT"
        return item.kind is Kind.COMMIT and (owes or (held is not None and held.late))

    # What stays.

    def _take_over(self, found):
        windows = [(ref.budget_key, ref.start_ms // DAY) for ref in found.windows]
        held = Held(found.account, {}, windows, found.create_ms, found.expire_ms)
        self.reservations[found.reservation_id] = held
        held.legs = {str(leg.unit): Leg(*leg[1:]) for leg in found.legs}
        held.lots = {
            row.ref.budget_key: Leg(**dict(zip(LOT_FIELDS, row[2:], strict=True)))
            for row in found.grants
        }
        held.state, held.late = str(found.state), found.late

    def _fold(self, item):
        """Add a reservation to the sums once it holds nothing and is not named again."""
        found = item.reservation
        if found is None or found.state is ReservationState.HELD:
            return
        if self._last_use[found.reservation_id] != self._number:
            return
        held = self.reservations.pop(found.reservation_id)
        for window in held.windows:
            leg = held.legs[self.budgets[window[0]].unit]
            self._base[0][0][window] += leg.charged
            self._base[1][0][window] -= leg.refunded
        for lot, part in held.lots.items():
            self._base[0][1][lot] += part.charged - part.refunded


def _amounts(legs):
    return dict(legs)


def _numbers(leg, names):
    return tuple(getattr(leg, name) for name in names)


def _net(counts):
    return counts["r"] + counts["c"] - counts["f"]
