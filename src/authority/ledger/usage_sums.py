"""Writes the parts of statements that keep the sums of the usage log.

The tables of sums have dozens of columns, all of which are added up in one way.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from authority.ledger.queries import statements
from authority.ledger.usage_columns import (
    AMOUNTS,
    COMBINATION,
    COUNTS,
    FLAGS,
    MEASURES,
    OUTCOMES,
    SUMS,
    WORK,
    added,
)

_PLACE = ("level", "grain", "bucket", "tenant", "account", "user_name")
_TABLES = {
    # Rows: the table, what they are told apart by besides their place, and what they are.
    "rollups": ("usage_rollup", ("combination",), ("event_count", *MEASURES)),
    "totals": ("usage_total", (), SUMS),
    "work_totals": ("usage_work_total", ("work",), SUMS),
}


@cache
def sums_of_events() -> str:
    """Return the parts that sum `events`: `rollups`, `totals` and `work_totals`."""
    return f"{_part('quarters')}, {_part('placed')}"


@cache
def sums_of_quarters() -> str:
    """Return the parts that sum the quarters that are kept, as `sums_of_events` does."""
    return f"{_part('kept_quarters')}, {_part('placed')}"


@cache
def keep_sums() -> str:
    """Return the parts that add what comes before them to the sums that are kept."""
    return ", ".join([_part("kept_names"), *map(_kept, _TABLES)])


def _part(name: str) -> str:
    return statements("usage_sums.sql")[name].format(
        amounts=_listed(AMOUNTS),
        amounts_added=added(AMOUNTS),
        combination=_listed(COMBINATION),
        combination_texts=_listed(
            f"{name}::text" if name in FLAGS else name for name in COMBINATION
        ),
        counted=_listed(_counted()),
        first_of_combination=_listed(
            f"{'bool_or' if name in FLAGS else 'min'}({name}) AS {name}" for name in COMBINATION
        ),
        measures=_listed(MEASURES),
        measures_added=added(MEASURES),
        measures_without_users=_listed(
            f"usage_sum(sum(CASE level WHEN 2 THEN {name} ELSE -{name} END))" for name in MEASURES
        ),
        place=_listed(_PLACE),
        work=_listed(WORK),
    )


def _kept(rows: str) -> str:
    """Return what adds rows to those of a table."""
    table, told_apart_by, sums = _TABLES[rows]
    key = _listed((*_PLACE, *told_apart_by))
    names = f"{key}, {_listed(sums)}"
    changes = _listed(
        f"{name} = kept.{name} + excluded.{name}"
        if name.endswith("_count")
        else f"{name} = usage_added(kept.{name}, excluded.{name})"
        for name in sums
    )
    return (
        f"kept_{rows} AS (INSERT INTO {table} AS kept ({names}) SELECT {names} FROM {rows} "
        f"ON CONFLICT ({key}) DO UPDATE SET {changes})"
    )


def _counted() -> Iterable[str]:
    """Yield the counts of events by outcome, and of what was made by flag."""
    tests = [
        *(f"outcome = '{name}'" for name in OUTCOMES),
        *(f"{name} AND is_made" for name in FLAGS),
    ]
    for name, test in zip(COUNTS, tests, strict=True):
        yield f"coalesce(sum(event_count) FILTER (WHERE {test}), 0)::bigint AS {name}"


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)
