"""What DECIDE is told: items, and how those of one call are put together.

Amounts and times are decimal texts. Everything here is a mirror of the scripts: their headers say
what each text means.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

from authority.domain.alerts import Thresholds
from authority.domain.budgets import LEASED, LEASED_SOFTLY, BudgetWindow, WindowRef
from authority.domain.grants import Lot
from authority.domain.money import AMOUNT_MAX, Leg, Option
from authority.domain.operations import Move
from authority.domain.policies import Money, Terms
from authority.domain.ports import (
    AdjustCommand,
    CommitCommand,
    ExtendCommand,
    HeldOn,
    Keyed,
    RefundCommand,
    ReserveCommand,
)
from authority.domain.reservations import LIFE_MS_MAX, ReserveMode
from authority.hotstate.keys import TenantKeys
from authority.hotstate.scripts import Verb

_Row = TypeVar("_Row")

_PARTS_MAX = 50_000
_WORDS = {None: "-", LEASED: "lease", LEASED_SOFTLY: "soft"}
_NO_MONEY = Money((), frozenset())
_FIRST_OTHER = 4  # among KEYS: behind the three that every call has


class PolicyPart(NamedTuple):
    """What an item must know of the tenant's policy (scripts/_policy.lua)."""

    version: int
    rule: str = ""
    limits: Sequence[int | None] = ()
    windows: Sequence[BudgetWindow] = ()
    debtors: frozenset[str] = frozenset()
    money: Money = _NO_MONEY
    rates: Mapping[str, int] | None = None
    thresholds: Sequence[Thresholds | None] = ()


class Item(NamedTuple):
    """One item of a call. `key` is '' for what has no answer, `reservation` for what needs none."""

    verb: Verb
    operation_id: str
    request: str
    checked: bool
    key: str = ""
    reservation: str = ""
    refs: Sequence[WindowRef] = ()  # of the reservation
    leased: Sequence[WindowRef] = ()  # those of them whose limit is a lease
    policy: PolicyPart | None = None
    arguments: Sequence[str] = ()


class Call:
    """The keys and arguments of one call. Equal keys and texts of its items are sent once."""

    def __init__(self, keys: TenantKeys, offset_ms: int) -> None:
        self._keys = keys
        self._offset_ms = offset_ms
        self._windows: dict[str, None] = {}
        self._refs: set[WindowRef] = set()
        self._others: dict[str, int] = {}
        self._texts: dict[str, int] = {}
        self._items: list[str] = []
        # What items have of one and the same policy is written once; they keep it alive.
        self._contexts: dict[int, int] = {}
        self._written: dict[int, str] = {}

    def add(self, item: Item) -> None:
        """Put an item behind the others."""
        keys = self._keys
        for ref in item.refs:
            if ref not in self._refs:
                self._refs.add(ref)
                self._windows[keys.window(ref)] = None
        for ref in item.leased:
            self._windows[keys.lease(ref)] = None
        checked = 1 if item.checked else 0
        answer = self._other(keys.answer(item.key)) if item.key else 0
        held = self._other(keys.reservation(item.reservation)) if item.reservation else 0
        context = self._context(item.policy) if item.policy else 0
        head = f"{item.verb} {checked} {answer} {held} {context} {len(item.arguments)}"
        self._items += (head, item.operation_id, item.request, *item.arguments)

    def keys(self) -> list[str]:
        """Return KEYS."""
        keys = self._keys
        return [keys.meta, keys.outbox, keys.expiries, *self._others, *self._windows]

    def arguments(self) -> list[str]:
        """Return ARGV."""
        head = (str(self._offset_ms), str(len(self._others)), str(len(self._texts)))
        return [*head, *self._texts, *self._items]

    def _other(self, key: str) -> int:
        return self._others.setdefault(key, _FIRST_OTHER + len(self._others))

    def _text(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts) + 1)

    def _context(self, part: PolicyPart) -> int:
        context = self._contexts.get(id(part))
        if context is None:
            context = self._contexts[id(part)] = self._text(self._context_text(part))
        return context

    def _context_text(self, part: PolicyPart) -> str:
        limits = " ".join(map(_limit, part.limits))
        windows = self._once(part.windows, lambda window: self._window(window, part.debtors))
        lots = self._once(part.money.lots, self._lot)
        prepaid = " ".join(sorted(part.money.prepaid))
        rates = " ".join(
            f"{self._other(self._keys.rate(account))}:{per_minute}"
            for account, per_minute in (part.rates or {}).items()
        )
        marks = " ".join([_mark(item) for item in part.thresholds])
        return f"{part.version};{part.rule};{limits};{windows};{lots};{prepaid};{rates};{marks}"

    def _once(self, rows: Sequence[_Row], write: Callable[[_Row], int]) -> str:
        written = self._written.get(id(rows))
        if written is None:
            written = self._written[id(rows)] = " ".join([str(write(row)) for row in rows])
        return written

    def _window(self, window: BudgetWindow, debtors: frozenset[str]) -> int:
        budget, span = window
        ref = f"{budget.key}:{span.start_ms}:{budget.unit}"
        self._windows[self._keys.window(ref)] = None
        mark = 1 if budget.account in debtors else 0
        if window.is_leased:
            mark = 2
            self._windows[self._keys.lease(ref)] = None
        return self._text(
            f"{ref} {budget.limit} {budget.enforcement} {mark} 0 0 {span.start_ms} {span.end_ms}"
        )

    def _lot(self, lot: Lot) -> int:
        grant, span = lot
        ref = f"{grant.key}:{span.start_ms}:{grant.unit}"
        self._windows[self._keys.window(ref)] = None
        name = grant.grant_id.partition("/")[2]
        return self._text(
            f"{ref} {grant.amount} {name} 0 {grant.effective_ms} {lot.expire_ms}"
            f" {span.start_ms} {span.end_ms}"
        )


def compact(value: object) -> str:
    """Return JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def reserve_item(keyed: Keyed, command: ReserveCommand) -> Item:
    """Return what reserve.lua is told."""
    terms = command.terms
    options = zip(command.options, command.refusals, _tiers(command.options), strict=True)
    return Item(
        Verb.RESERVE,
        keyed.operation_id,
        keyed.request,
        keyed.checked,
        # A check has no key: it is decided anew each time.
        key="" if command.mode is ReserveMode.CHECK_ONLY else keyed.key,
        reservation=command.reservation_id,
        policy=_part_of(terms),
        arguments=(
            command.reservation_id,
            terms.account,
            str(command.ttl_ms),
            compact(command.labels) if command.labels else "{}",
            command.mode,
            "1" if command.may_reclaim else "0",
            ";".join(
                f"{refusal or '-'} {tier} {_legs(option.legs)}" for option, refusal, tier in options
            ),
            _refused(command.refused),
        ),
    )


def _tiers(options: Sequence[Option]) -> list[int]:
    """Return the tier of each option, a number: those of one name are in one, others alone."""
    names: dict[str, int] = {}
    return [
        names.setdefault(option.name, place) if option.name else place
        for place, option in enumerate(options)
    ]


@lru_cache(maxsize=_PARTS_MAX)
def _part_of(terms: Terms) -> PolicyPart:
    return PolicyPart(
        terms.policy_version,
        rule=f"{terms.refusal or ''}{f'@{terms.end_ms}' if terms.end_ms else ''}",
        windows=terms.windows,
        debtors=terms.debtors,
        money=terms.money,
        rates=terms.rates,
    )


def commit_item(keyed: Keyed, command: CommitCommand) -> Item:
    """Return what commit.lua is told."""
    return _held_item(
        Verb.COMMIT,
        keyed,
        command.held,
        PolicyPart(
            command.policy_version,
            rule=command.overage,
            limits=command.limits,
            money=command.money,
            thresholds=command.thresholds,
        ),
        keyed.key,
        "1" if command.final else "0",
        "1" if command.force else "0",
        command.receipt,
        _legs(command.actual),
        _refused(command.refused),
    )


def release_item(keyed: Keyed, held: HeldOn) -> Item:
    """Return what release.lua is told."""
    return _held_item(Verb.RELEASE, keyed, held, None)


def extend_item(keyed: Keyed, command: ExtendCommand) -> Item:
    """Return what extend.lua is told."""
    return _held_item(
        Verb.EXTEND,
        keyed,
        command.held,
        PolicyPart(command.policy_version, limits=command.limits, money=command.money),
        str(command.ttl_ms),
        str(LIFE_MS_MAX),
        _legs(command.legs),
        _refused(command.refused),
    )


def refund_item(keyed: Keyed, command: RefundCommand) -> Item:
    """Return what refund.lua is told."""
    restores = [
        text
        for ref, restore in command.restores.items()
        for text in (str(ref), str(restore.expire_ms), str(restore.grace_ms), restore.grant_id)
    ]
    return _held_item(Verb.REFUND, keyed, command.held, None, _legs(command.legs), *restores)


def adjust_item(keyed: Keyed, command: AdjustCommand) -> Item:
    """Return what adjust.lua is told."""
    return Item(
        Verb.ADJUST,
        keyed.operation_id,
        keyed.request,
        keyed.checked,
        key=keyed.key,
        policy=PolicyPart(
            command.policy_version,
            windows=command.windows,
            money=command.money,
            thresholds=command.thresholds,
        ),
        arguments=(_legs(command.legs), _refused(command.refused)),
    )


def record_item(keyed: Keyed, fields: Mapping[str, object], moves: Iterable[Move]) -> Item:
    """Return what record.lua is told."""
    return Item(
        Verb.RECORD,
        keyed.operation_id,
        keyed.request,
        keyed.checked,
        key=keyed.key,
        arguments=(compact(fields), " ".join(",".join(map(str, move)) for move in moves)),
    )


def expire_item(held: HeldOn, operation_id: str, request: str) -> Item:
    """Return what expire.lua is told."""
    return Item(
        Verb.EXPIRE,
        operation_id,
        request,
        checked=True,
        reservation=held.reservation_id,
        refs=(*held.windows, *held.lots),
    )


def _held_item(
    verb: Verb, keyed: Keyed, held: HeldOn, policy: PolicyPart | None, *arguments: str
) -> Item:
    return Item(
        verb,
        keyed.operation_id,
        keyed.request,
        keyed.checked,
        key=keyed.key,
        reservation=held.reservation_id,
        refs=(*held.windows, *held.lots),
        leased=_leased(held, policy),
        policy=policy,
        arguments=arguments,
    )


def _leased(held: HeldOn, policy: PolicyPart | None) -> list[WindowRef]:
    limits = policy.limits if policy else ()
    if not any(limit is not None and limit < 0 for limit in limits):
        return []
    pairs = zip(held.windows, limits, strict=True)
    return [ref for ref, limit in pairs if limit in (LEASED, LEASED_SOFTLY)]


def _limit(limit: int | None) -> str:
    return _WORDS.get(limit) or str(limit)


def _refused(refs: Iterable[WindowRef]) -> str:
    return " ".join(map(str, refs))


@lru_cache(maxsize=_PARTS_MAX)
def _mark(thresholds: Thresholds | None) -> str:
    """Return `lowest,limit,percent:amount,...`: what each percentage is, and the lowest first."""
    # No count passes the largest amount, and Lua's numbers are not exact behind it.
    steps = [step for step in thresholds.steps if step[1] <= AMOUNT_MAX] if thresholds else []
    if not thresholds or not steps:
        return "-"
    written = ",".join(f"{percent}:{amount}" for percent, amount in steps)
    return f"{steps[0][1]},{thresholds.limit},{written}"


def _legs(legs: Iterable[Leg]) -> str:
    return " ".join([f"{leg.unit}:{leg.amount}" for leg in legs])
