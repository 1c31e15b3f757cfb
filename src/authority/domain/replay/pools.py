"""What is counted of windows and lots, and how lots are spent: as scripts/_lots.lua does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from authority.domain.budgets import WindowRef
from authority.domain.money import Unit
from authority.domain.policies import Money


@dataclass(slots=True)
class Counts:
    """The three counts of a window or a lot."""

    reserved: int = 0
    committed: int = 0
    refunded: int = 0

    @property
    def used(self) -> int:
        """Return what is held or spent."""
        return self.reserved + self.committed - self.refunded

    @property
    def values(self) -> tuple[int, int, int]:
        """Return them in their order."""
        return self.reserved, self.committed, self.refunded


@dataclass(slots=True)
class LegCounts:
    """The numbers of a reservation in one unit."""

    reserved: int = 0
    held: int = 0


@dataclass(slots=True)
class Part:
    """What a reservation took from one lot."""

    ref: WindowRef
    counts: Counts
    reserved: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """A lot of a pool: what there was of it, and what is counted."""

    ref: WindowRef
    amount: int
    counts: Counts
    is_active: bool

    @property
    def left(self) -> int:
        """Return what it has left; below 0 where debt was charged to it."""
        return self.amount - self.counts.used


@dataclass(slots=True)
class Pool:
    """The lots of a unit that must be covered by grants, in the order in which they are spent."""

    unit: Unit
    shares: list[Share] = field(default_factory=list)

    @property
    def active(self) -> list[Share]:
        """Return those that may be spent."""
        return [share for share in self.shares if share.is_active]

    @property
    def reserved(self) -> int:
        """Return what is held of them."""
        return sum(share.counts.reserved for share in self.active)

    def free(self, most: int) -> int:
        """Return what it can give, up to `most`. What has expired counts only as debt."""
        need = most + sum(max(-share.left, 0) for share in self.shares)
        for share in self.active:
            need -= min(max(share.left, 0), max(need, 0))
        return most - need

    def spend(self, parts: list[Part], amount: int) -> Iterator[tuple[Part, int]]:
        """Yield how much of an amount each lot gives, with its part in a reservation's `parts`.

        Who takes it counts it before the next is asked for.
        """
        for share in self.active:
            taken = min(max(share.left, 0), amount)
            if taken > 0:
                yield self._part(parts, share), taken
                amount -= taken

    def debtor(self, parts: list[Part]) -> Counts | None:
        """Return the counts that carry what no lot has; None if there is nothing to owe to."""
        if active := self.active:
            return active[-1].counts
        own = [part for part in parts if part.ref.unit is self.unit]
        return own[-1].counts if own else None

    @staticmethod
    def _part(parts: list[Part], share: Share) -> Part:
        for part in parts:
            if part.ref == share.ref:
                return part
        parts.append(Part(share.ref, share.counts))
        return parts[-1]


def pools_of(money: Money, counts: dict[WindowRef, Counts], now_ms: int) -> Mapping[Unit, Pool]:
    """Return the pools of what must be covered by grants."""
    pools = {unit: Pool(unit) for unit in money.prepaid}
    for lot in money.lots:
        if lot.grant.unit in pools:
            pools[lot.grant.unit].shares.append(
                Share(
                    lot.ref,
                    lot.grant.amount,
                    counts.setdefault(lot.ref, Counts()),
                    lot.is_active(now_ms),
                )
            )
    return pools
