"""Writes the statements that answer a query of usage, over the sums that are kept.

There are two: what groups come to, of whole days where the time allows; then, for a series, the
steps of the page's groups alone. Each reads as few rows as there can be: those of the highest level
that tells apart what is asked for. Only names of columns of ours are ever put into their text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from authority.domain.usage import OWNERS, WORK, Dimension, Interval, Order, UsageFilter, UsageQuery
from authority.ledger.usage_calendar import DAY, HOUR, QUARTER_HOUR, Piece, divide
from authority.ledger.usage_columns import COUNTS, FLAGS, MEASURES, OUTCOMES, SUMS, added

ALL, TENANT, ACCOUNT, USER = range(4)
"""Levels of the sums."""

_COLUMNS = {
    "kinds": "kind",
    "providers": "provider",
    "models": "model",
    "sizes": "size",
    "qualities": "quality",
    "outcomes": "outcome",
    "stages": "cached",
    "downgrade_reasons": "downgrade_reason",
    "error_classes": "error_class",
    "denial_reasons": "reason",
    "downgraded": "downgraded",
    "fallback": "fallback",
    "presumed_spent": "presumed_spent",
    "late": "late",
}
_EVENTS = " + ".join(COUNTS[: len(OUTCOMES)])
_ORDERS = {
    Order.CHARGED: "charged_micros - refunded_micros DESC",
    Order.ACTUAL: "actual_micros DESC",
    Order.COUNT: f"{_EVENTS} DESC",
    Order.SAVED: "saved_micros DESC",
    Order.REVENUE: "revenue_micros DESC",
    Order.LOSS: "actual_micros - revenue_micros DESC",
}
_STEPS = {Interval.HOUR: HOUR, Interval.DAY: DAY}


class Statement(NamedTuple):
    """A statement for Postgres and its parameters."""

    text: str
    parameters: dict[str, Any]


def conditions(wanted: UsageFilter) -> tuple[list[str], dict[str, Any]]:
    """Return what a filter asks of work, as conditions on its columns, and their parameters."""
    tests = []
    parameters: dict[str, Any] = {}
    for field, column in _COLUMNS.items():
        value = getattr(wanted, field)
        if isinstance(value, bool):
            tests.append(f"{column} = %({field})s")
            parameters[field] = value
        elif value:
            tests.append(f"{column} = ANY(%({field})s::text[])")
            parameters[field] = [str(item) for item in value]
    return tests, parameters


def groups_statement(query: UsageQuery, time_zone: str) -> Statement:
    """Return what sums all of a time, and its groups.

    Its rows have the number of all groups, the place of one among them, its values and its sums.
    The row of the whole, which comes first, has neither number nor place.
    """
    reading = _Reading(query, time_zone, query.group_by)
    values = [f"v{position}" for position in range(len(query.group_by))]
    columns = "".join(f"{name}, " for name in values)
    text = (
        f"WITH cells AS MATERIALIZED (SELECT {columns}{added(SUMS)} FROM {reading.rows()}"
        f"{_grouped(values)}) "
        f"SELECT NULL::bigint AS group_count, NULL::bigint AS place, "
        f"{''.join(f'NULL AS {name}, ' for name in values)}{added(SUMS)} FROM cells"
    )
    if values:
        order = _ORDERS.get(query.order_by)
        order_by = ", ".join([*([order] if order else []), *values])
        text += (
            f" UNION ALL (SELECT count(*) OVER (), row_number() OVER (ORDER BY {order_by}), "
            f"{columns}{', '.join(SUMS)} FROM cells WHERE {_EVENTS} > 0 "
            f"ORDER BY {order_by} LIMIT %(limit)s OFFSET %(offset)s) ORDER BY place NULLS FIRST"
        )
    reading.parameters |= {"limit": query.limit, "offset": query.offset}
    return Statement(text, reading.parameters)


def series_statement(
    query: UsageQuery, time_zone: str, groups: Sequence[tuple[str, ...]], *, are_all: bool
) -> Statement:
    """Return what sums the steps of all, and those of some groups, which may be all there are.

    Its rows have the number of a group from 1 on, or none for all, the step, and its sums.
    """
    whole = f"SELECT NULL::bigint AS number, step, {added(SUMS)} FROM"
    if not groups:
        reading = _Reading(query, time_zone, (), is_series=True)
        return Statement(
            f"{whole} {reading.rows()} GROUP BY step ORDER BY step", reading.parameters
        )
    shown = _Reading(query, time_zone, query.group_by, is_series=True, groups=groups)
    values = [f"v{position}" for position in range(len(query.group_by))]
    arrays = ", ".join(f"%({name})s::text[]" for name in values)
    names = ", ".join(values)
    text = (
        f"WITH cells AS MATERIALIZED (SELECT step, {names}, {added(SUMS)} FROM {shown.rows()} "
        f"GROUP BY step, {names}), "
        f"asked AS (SELECT * FROM unnest({arrays}) WITH ORDINALITY AS asked ({names}, number)) "
        f"SELECT number, step, {', '.join(SUMS)} FROM cells JOIN asked USING ({names}) UNION ALL "
    )
    shown.parameters |= {
        name: list(column) for name, column in zip(values, zip(*groups, strict=True), strict=True)
    }
    if are_all:
        text += f"{whole} cells GROUP BY step"
    else:
        reading = _Reading(query, time_zone, (), is_series=True, parameters=shown.parameters)
        text += f"{whole} {reading.rows()} GROUP BY step"
    return Statement(f"{text} ORDER BY step", shown.parameters)


def _grouped(names: Sequence[str]) -> str:
    return f" GROUP BY {', '.join(names)}" if names else ""


class _Place(NamedTuple):
    """Sums to read: of a level, added or, with -1, taken off."""

    level: int
    sign: int
    piece: Piece


class _Reading:
    """Reads the sums of a query in one shape: `step` of a series, `v0`, `v1`, … and all sums.

    It may leave out what is not of some `groups`; what it has of others is not the whole of them.
    """

    def __init__(
        self,
        query: UsageQuery,
        time_zone: str,
        group_by: Sequence[Dimension],
        *,
        is_series: bool = False,
        groups: Sequence[tuple[str, ...]] = (),
        parameters: dict[str, Any] | None = None,
    ) -> None:
        self._query = query
        self._time_zone = time_zone
        self._interval = query.interval if is_series else None
        self._group_by = group_by
        self._owners = [name for name in group_by if name in OWNERS]
        self._work = [name for name in group_by if name not in OWNERS]
        self._tests, asked = conditions(query.filter)
        self._columns = {_COLUMNS[field] for field in asked} | {name.value for name in self._work}
        self.parameters = {} if parameters is None else parameters
        self.parameters |= asked
        names_user = bool(query.filter.users) or Dimension.USER in group_by
        # Who has no user is not kept as one: that is what the accounts have and their users lack.
        self._has_rest = names_user and not query.filter.users
        self._level = self._level_of(names_user)
        self._owner_tests: list[str] = []
        self._ask_for_owners()
        self._ask_for_groups(groups)

    def _level_of(self, names_user: bool) -> int:
        query = self._query
        if names_user:
            return USER
        if query.accounts is not None or Dimension.ACCOUNT in self._group_by:
            return ACCOUNT
        return TENANT if query.tenant or Dimension.TENANT in self._group_by else ALL

    def _ask_for_owners(self) -> None:
        query = self._query
        if query.tenant:
            self._owner_tests.append("tenant = %(tenant)s")
            self.parameters["tenant"] = query.tenant
        if query.accounts is not None:
            self._owner_tests.append("account = ANY(%(accounts)s::text[])")
            self.parameters["accounts"] = list(query.accounts)
        if query.filter.users:
            self._owner_tests.append("user_name = ANY(%(users)s::text[])")
            self.parameters["users"] = list(query.filter.users)

    def _ask_for_groups(self, groups: Sequence[tuple[str, ...]]) -> None:
        if not groups:
            return
        for name, values in zip(self._group_by, zip(*groups, strict=True), strict=True):
            if name is Dimension.USER and self._has_rest:
                continue  # Who has none is found by all that have one.
            parameter = f"of_{name.value}"
            self.parameters[parameter] = sorted(set(values))
            tests = self._owner_tests if name in OWNERS else self._tests
            tests.append(f"{name.value}::text = ANY(%({parameter})s::text[])")

    def rows(self) -> str:
        """Return what stands behind FROM. The statement takes `parameters`."""
        return f"({' UNION ALL '.join(self._sources())}) AS source"

    def _sources(self) -> Iterator[str]:
        if self._columns <= WORK:
            places = list(self._places(are_hours=True))
            plain = [place for place in places if place.piece.grain != QUARTER_HOUR]
            quarters = [place for place in places if place.piece.grain == QUARTER_HOUR]
            if not self._columns:
                for place in plain:
                    yield self._read("usage_total", place, self._values(place), SUMS)
            elif plain:
                yield self._looked_up("usage_work_total", "usage_work", "work", plain)
        else:
            quarters = list(self._places(are_hours=self._level <= TENANT))
        if quarters:
            yield self._looked_up("usage_rollup", "usage_combination", "combination", quarters)

    def _places(self, *, are_hours: bool) -> Iterator[_Place]:
        pieces = divide(
            self._query.start,
            self._query.end,
            self._time_zone,
            days=self._interval is not Interval.HOUR,
            hours=are_hours,
        )
        for piece in pieces:
            # Below an hour there are only the quarters of accounts and users.
            level = max(self._level, ACCOUNT) if piece.grain == QUARTER_HOUR else self._level
            yield _Place(level, 1, piece)
            if self._has_rest:
                yield _Place(ACCOUNT, 1, piece)
                yield _Place(USER, -1, piece)

    def _looked_up(self, table: str, names: str, key: str, places: Sequence[_Place]) -> str:
        """Read sums by a key, and look up what each key stands for.

        Where many are of one key, they are summed by it first.
        """
        sums = SUMS if table == "usage_work_total" else ("event_count", *MEASURES)
        owners = [f"o{position}" for position in range(len(self._owners))]
        where = f" WHERE {' AND '.join(self._tests)}" if self._tests else ""
        chosen = f" AND {key} = ANY(ARRAY(SELECT {key} FROM {names}{where}))" if where else ""
        reads = []
        for place in places:
            columns = "".join(
                f"{self._owner(place, name)} AS {owner}, "
                for name, owner in zip(self._owners, owners, strict=True)
            )
            reads.append(self._read(table, place, f"{columns}{key}, ", sums, chosen))
        read = f"({' UNION ALL '.join(reads)}) AS pieces"
        if not owners and self._interval not in _STEPS:
            read = f"(SELECT step, {key}, {added(sums)} FROM {read} GROUP BY step, {key}) AS added"
        values = "".join(
            f"{name.value}::text AS v{position}, "
            if name in self._work
            else f"o{self._owners.index(name)} AS v{position}, "
            for position, name in enumerate(self._group_by)
        )
        shown = SUMS if sums is SUMS else (*_counted(), *MEASURES)
        # Sums by what was made have their counts, so that there may be nothing to look up.
        joined = f" JOIN {names} USING ({key})" if self._work or sums is not SUMS else ""
        return f"SELECT step, {values}{', '.join(shown)} FROM {read}{joined}"

    def _read(
        self, table: str, place: _Place, values: str, sums: Sequence[str], chosen: str = ""
    ) -> str:
        """Read the sums of one place."""
        columns = ", ".join(_signed(name, place.sign) for name in sums)
        return (
            f"SELECT {self._step(place.piece)} AS step, {values}{columns} "
            f"FROM {table} WHERE {self._where(place)}{chosen}"
        )

    def _where(self, place: _Place) -> str:
        piece = place.piece
        count = len(self.parameters)
        start, end = f"start_{count}", f"end_{count}"
        self.parameters |= {start: piece.start, end: piece.end}
        tests = [
            f"level = {place.level} AND grain = {piece.grain}",
            f"bucket >= %({start})s AND bucket < %({end})s",
            *self._owner_tests,
        ]
        return " AND ".join(tests)

    def _values(self, place: _Place) -> str:
        return "".join(
            f"{self._owner(place, name)} AS v{position}, "
            for position, name in enumerate(self._group_by)
        )

    def _owner(self, place: _Place, name: Dimension) -> str:
        # What is added for accounts, and taken off for their users, is of nobody.
        is_rest = place.level != USER or place.sign < 0
        return "''" if name is Dimension.USER and is_rest else name.value

    def _step(self, piece: Piece) -> str:
        if self._interval is None:
            return "NULL::timestamptz"
        if _STEPS.get(self._interval) == piece.grain:
            return "bucket"
        self.parameters["time_zone"] = self._time_zone
        return f"date_trunc('{self._interval.value}', bucket, %(time_zone)s)"


def _signed(name: str, sign: int) -> str:
    return name if sign > 0 else f"-{name} AS {name}"


def _counted() -> Iterator[str]:
    """Yield the counts of a combination, of which each has one outcome."""
    for name in OUTCOMES:
        yield f"CASE WHEN outcome = '{name}' THEN event_count ELSE 0 END AS {name.lower()}_count"
    made = "outcome IN ('SUCCEEDED', 'FAILED')"
    for name in FLAGS:
        yield f"CASE WHEN {name} AND {made} THEN event_count ELSE 0 END AS {name}_count"
