"""The meaning of the operations in plain Python: what the authority must answer, and nothing else.

One tenant, USD alone, budgets that block, overage AVAILABLE. Times are in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Held:
    """A reservation."""

    account: str
    amount: int
    expires: int
    state: str = "HELD"
    charged: int = 0
    refunded: int = 0


@dataclass
class Model:
    """Accounts in a chain, each with one budget that never starts again."""

    limits: dict[str, int]
    parents: dict[str, str]
    now: int = 0
    reservations: dict[int, Held] = field(default_factory=dict)

    def chain(self, account):
        """Return the account and those above it."""
        while account:
            yield account
            account = self.parents.get(account, "")

    def counts(self, account):
        """Return (reserved, committed, refunded) of an account's budget."""
        below = [held for held in self.reservations.values() if account in self.chain(held.account)]
        return (
            sum(held.amount for held in below if held.state == "HELD"),
            sum(held.charged for held in below),
            sum(held.refunded for held in below),
        )

    def available(self, account):
        """Return what an account's budget has left."""
        reserved, committed, refunded = self.counts(account)
        return self.limits[account] - reserved - committed + refunded

    def expire(self):
        """Give back what is due."""
        for held in self.reservations.values():
            if held.state == "HELD" and held.expires <= self.now:
                held.state = "EXPIRED"

    def reserve(self, number, account, options, ttl):
        """Hold the first option that fits; return its index, or None for a denial."""
        fits = self._fitting(account, options)
        if fits is None:
            self.expire()  # only what is in the way is reclaimed
            fits = self._fitting(account, options)
        if fits is not None:
            self.reservations[number] = Held(account, options[fits], self.now + ttl)
        return fits

    def _fitting(self, account, options):
        least = min(self.available(node) for node in self.chain(account))
        return next((index for index, amount in enumerate(options) if amount <= least), None)

    def commit(self, number, actual):
        """Settle; return what is charged, or the state that does not allow it."""
        held = self.reservations[number]
        if held.state in {"COMMITTED", "RELEASED"}:
            return held.state
        own = held.amount if held.state == "HELD" else 0
        base = min(actual, held.amount)
        free = min(self.available(node) + own - base for node in self.chain(held.account))
        held.charged = base + min(actual - base, max(free, 0))
        held.state = "COMMITTED"
        return held.charged

    def release(self, number):
        """Give back; return the state then."""
        held = self.reservations[number]
        if held.state == "HELD":
            held.state = "RELEASED"
        return held.state

    def refund(self, number, amount):
        """Give a charge back; return what is refunded in all, or why not."""
        held = self.reservations[number]
        if held.state == "HELD":
            held.state = "RELEASED"
            return 0
        if held.state != "COMMITTED":
            return held.state
        if amount > held.charged - held.refunded:
            return "EXCEEDS"
        held.refunded += amount
        return held.refunded
