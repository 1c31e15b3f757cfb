"""Writes the statement that answers a query of usage, over the sums that are kept.

It has as few rows to read as there can be: those of the highest level that tells apart what is
asked for, in days where the time allows. Only names of columns of ours are ever put into its text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from authority.domain.usage import OWNERS, WORK, Dimension, Interval, Order, UsageFilter, UsageQuery
from authority.ledger.usage_calendar import DAY, HOUR, QUARTER_HOUR, Piece, divide

ALL, TENANT, ACCOUNT, USER = range(4)
"""Levels of the sums."""

MEASURES = (
    *("images", "videos", "messages", "input_tokens", "output_tokens", "actual_micros"),
    *("charged_micros", "refunded_micros", "credits_micros", "revenue_micros", "saved_micros"),
    *("duration_ms", "duration_count"),
)
_OUTCOMES = (
    *("SUCCEEDED", "FAILED", "PART", "DENIED", "RELEASED", "EXPIRED", "REFUNDED", "ADJUSTED"),
    *("HIT", "REVERSED"),
)
_FLAGS = ("downgraded", "fallback", "presumed_spent", "late")
_COUNTS = tuple(f"{name.lower()}_count" for name in (*_OUTCOMES, *_FLAGS))
SUMS = (*_COUNTS, *MEASURES)
"""The columns of sums, in the order of domain.usage.UsageSums."""

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
_EVENTS = " + ".join(_COUNTS[: len(_OUTCOMES)])
_ORDERS = {
    Order.CHARGED: "charged_micros - refunded_micros DESC",
    Order.ACTUAL: "actual_micros DESC",
    Order.COUNT: f"{_EVENTS} DESC",
    Order.SAVED: "saved_micros DESC",
    Order.REVENUE: "revenue_micros DESC",
    Order.LOSS: "actual_micros - revenue_micros DESC",
}
_STEPS = {Interval.HOUR: HOUR, Interval.DAY: DAY}


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


class _Place(NamedTuple):
    """Sums to read: of a level, added or, with -1, taken off."""

    level: int
    sign: int
    piece: Piece


class Statement:
    """The statement of one query; `text` and `parameters` are for Postgres.

    Its rows have `part`: TOTAL for the sums of all, POINT for those of a step, GROUP for those of a
    group and GROUP_POINT for its steps; `step`, the values `v0`, `v1`, …, and the sums.
    """

    def __init__(self, query: UsageQuery, time_zone: str) -> None:
        self._query = query
        self._tests, self.parameters = conditions(query.filter)
        self._fields = tuple(self.parameters)
        self._time_zone = time_zone
        names_user = bool(query.filter.users) or Dimension.USER in query.group_by
        if names_user:
            self.level = USER
        elif query.accounts is not None or Dimension.ACCOUNT in query.group_by:
            self.level = ACCOUNT
        elif query.tenant or Dimension.TENANT in query.group_by:
            self.level = TENANT
        else:
            self.level = ALL
        self._owners = [name for name in query.group_by if name in OWNERS]
        self._work = [name for name in query.group_by if name not in OWNERS]
        self._values = [f"v{position}" for position in range(len(query.group_by))]
        # Who has no user is not kept as one: that is what the accounts have and their users lack.
        self._has_rest = names_user and not query.filter.users
        self.parameters |= {"limit": query.limit, "offset": query.offset}
        self.text = self._statement()

    def _statement(self) -> str:
        sums = ", ".join(f"usage_sum(sum({name})) AS {name}" for name in SUMS)
        values = "".join(f"{name}, " for name in self._values)
        names = ", ".join(SUMS)
        order = _ORDERS.get(self._query.order_by)
        order_by = ", ".join([*([order] if order else []), *self._values]) or "1"
        grouped = f"GROUP BY {values.removesuffix(', ')}" if values else ""
        # Without a series each cell is a group.
        groups = f"(SELECT {values}{sums} FROM cells {grouped}) AS groups"
        if self._query.interval is None:
            groups = f"(SELECT {values}{names} FROM cells) AS groups"
        no_values = "".join(f"NULL AS {name}, " for name in self._values)
        head = "NULL::timestamptz AS step, NULL::bigint AS group_count, NULL::bigint AS place"
        parts = [f"SELECT 'TOTAL' AS part, {head}, {no_values}{sums} FROM cells"]
        if self._query.interval:
            parts.append(
                f"SELECT 'POINT', step, NULL, NULL, {no_values}{sums} FROM cells GROUP BY step"
            )
        if values:
            parts.append(f"SELECT 'GROUP', NULL, group_count, place, {values}{names} FROM page")
        if values and self._query.interval:
            parts.append(
                f"SELECT 'GROUP_POINT', step, NULL, place, {values}"
                f"{', '.join(f'cells.{name}' for name in SUMS)} "
                f"FROM cells JOIN page USING ({', '.join(self._values)})"
            )
        page = (
            f", page AS (SELECT *, count(*) OVER () AS group_count, "
            f"row_number() OVER (ORDER BY {order_by}) AS place "
            f"FROM {groups} WHERE {_EVENTS} > 0 "
            f"ORDER BY {order_by} LIMIT %(limit)s OFFSET %(offset)s)"
            if values
            else ""
        )
        return (
            f"WITH cells AS MATERIALIZED (SELECT step, {values}{sums} FROM ("
            f"{' UNION ALL '.join(self._sources())}) AS source GROUP BY {values}step){page} "
            f"{' UNION ALL '.join(parts)} ORDER BY part, place, step"
        )

    def _sources(self) -> Iterator[str]:
        """Yield what reads each kind of sum, in the one shape of `cells`."""
        plain = [place for place in self._places() if place.piece.grain != QUARTER_HOUR]
        rollups = [place for place in self._places() if place.piece.grain == QUARTER_HOUR]
        columns = {_COLUMNS[field] for field in self._fields}
        if not self._work and not columns:
            for place in plain:
                yield self._read("usage_total", place, self._owner_values(place), SUMS)
        elif columns | {name.value for name in self._work} <= WORK:
            if plain:
                yield self._looked_up("usage_work_total", "usage_work", "work", plain)
        else:
            rollups += plain
        if rollups:
            yield self._looked_up("usage_rollup", "usage_combination", "combination", rollups)

    def _places(self) -> Iterator[_Place]:
        query, level = self._query, self.level
        pieces = divide(
            query.start,
            query.end,
            self._time_zone,
            days=query.interval is not Interval.HOUR,
            hours=level <= TENANT,
        )
        for piece in pieces:
            # Below an hour there are only the quarters of accounts and users.
            yield _Place(max(level, ACCOUNT) if piece.grain == QUARTER_HOUR else level, 1, piece)
            if self._has_rest:
                yield _Place(ACCOUNT, 1, piece)
                yield _Place(USER, -1, piece)

    def _looked_up(self, table: str, names: str, key: str, places: Sequence[_Place]) -> str:
        """Read sums by a key, and look up what each key stands for.

        Where many are of one step, they are summed by their keys first.
        """
        is_many = self._query.interval not in _STEPS
        sums = SUMS if table == "usage_work_total" else ("event_count", *MEASURES)
        owners = [f"o{position}" for position in range(len(self._owners))]
        reads = []
        for place in places:
            columns = "".join(
                f"{self._owner(place, name)} AS {owner}, "
                for name, owner in zip(self._owners, owners, strict=True)
            )
            chosen = self._chosen(names, key) if is_many else ""
            reads.append(self._read(table, place, f"{columns}{key}, ", sums, chosen))
        shown = SUMS if sums is SUMS else (*_counted(), *MEASURES)
        values = "".join(
            f"{name.value}::text AS v{position}, "
            if name in self._work
            else f"o{self._owners.index(name)} AS v{position}, "
            for position, name in enumerate(self._query.group_by)
        )
        read = f"({' UNION ALL '.join(reads)}) AS pieces"
        if not is_many:
            where = f" WHERE {' AND '.join(self._tests)}" if self._tests else ""
            return (
                f"SELECT step, {values}{', '.join(shown)} FROM {read} "
                f"JOIN {names} USING ({key}){where}"
            )
        grouped = ", ".join(["step", *owners, key])
        added = ", ".join(f"usage_sum(sum({name})) AS {name}" for name in sums)
        return (
            f"SELECT step, {values}{', '.join(shown)} FROM (SELECT {grouped}, {added} "
            f"FROM {read} GROUP BY {grouped}) AS sums JOIN {names} USING ({key})"
        )

    def _read(
        self, table: str, place: _Place, values: str, sums: Sequence[str], chosen: str = ""
    ) -> str:
        """Read the sums of one place."""
        columns = ", ".join(_signed(name, place.sign) for name in sums)
        return (
            f"SELECT {self._step(place.piece)} AS step, {values}{columns} "
            f"FROM {table} WHERE {self._where(place)}{chosen}"
        )

    def _chosen(self, names: str, key: str) -> str:
        if not self._tests:
            return ""
        return f" AND {key} IN (SELECT {key} FROM {names} WHERE {' AND '.join(self._tests)})"

    def _where(self, place: _Place) -> str:
        query, piece = self._query, place.piece
        tests = [f"level = {place.level} AND grain = {piece.grain}"]
        count = len(self.parameters)
        start, end = f"start_{count}", f"end_{count}"
        self.parameters |= {start: piece.start, end: piece.end}
        tests.append(f"bucket >= %({start})s AND bucket < %({end})s")
        if query.tenant:
            tests.append("tenant = %(tenant)s")
            self.parameters["tenant"] = query.tenant
        if query.accounts is not None:
            tests.append("account = ANY(%(accounts)s::text[])")
            self.parameters["accounts"] = list(query.accounts)
        if query.filter.users:
            tests.append("user_name = ANY(%(users)s::text[])")
            self.parameters["users"] = list(query.filter.users)
        return " AND ".join(tests)

    def _owner_values(self, place: _Place) -> str:
        return "".join(
            f"{self._owner(place, name)} AS v{position}, "
            for position, name in enumerate(self._query.group_by)
        )

    def _owner(self, place: _Place, name: Dimension) -> str:
        # What is added for accounts, and taken off for their users, is of nobody.
        is_rest = place.level != USER or place.sign < 0
        return "''" if name is Dimension.USER and is_rest else name.value

    def _step(self, piece: Piece) -> str:
        interval = self._query.interval
        if interval is None:
            return "NULL::timestamptz"
        if _STEPS.get(interval) == piece.grain:
            return "bucket"
        self.parameters["time_zone"] = self._time_zone
        return f"date_trunc('{interval.value}', bucket, %(time_zone)s)"


def _signed(name: str, sign: int) -> str:
    return name if sign > 0 else f"-{name} AS {name}"


def _counted() -> Iterator[str]:
    """Yield the counts of a combination, of which each has one outcome."""
    for name in _OUTCOMES:
        yield f"CASE WHEN outcome = '{name}' THEN event_count ELSE 0 END AS {name.lower()}_count"
    made = "outcome IN ('SUCCEEDED', 'FAILED')"
    for name in _FLAGS:
        yield f"CASE WHEN {name} AND {made} THEN event_count ELSE 0 END AS {name}_count"
