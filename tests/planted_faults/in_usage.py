"""Faults in the usage log, its sums, and what is read of them."""

from __future__ import annotations

from planted_faults.fault import Fault

_LOG = "integration/test_usage_log.py::"
_SUMS = "integration/test_usage_sums.py::"
_SERVICE = "e2e/test_usage_service.py::"

FAULTS = [
    Fault(
        "sums are replaced, not added to",
        "ledger/usage_sums.py",
        'f"{name} = kept.{name} + excluded.{name}"',
        'f"{name} = excluded.{name}"',
        (_SUMS + "test_any_query_equals_a_count_of_the_events",),
    ),
    Fault(
        "a label tells of another tenant's generation",
        "ledger/usage_projection.sql",
        "WHERE generation.generation_id = known.wanted_id AND generation.tenant = known.tenant",
        "WHERE generation.generation_id = known.wanted_id",
        (_LOG + "test_a_label_tells_nothing_of_another_tenant",),
    ),
    Fault(
        "a part of a commit counts as the whole",
        "ledger/usage_projection.sql",
        "WHEN verb = 'COMMIT' AND state <> 'COMMITTED' THEN 'PART'",
        "WHEN verb = 'COMMIT' AND state = '' THEN 'PART'",
        (_LOG + "test_every_verb_leaves_its_event",),
    ),
    Fault(
        "the tightest budget is not the reason of a denial",
        "ledger/migrations/0016_usage.sql",
        "ORDER BY reason = 'BUDGET_BUSY', short_by / requested DESC",
        "ORDER BY reason = 'BUDGET_BUSY' DESC, short_by / requested",
        (_LOG + "test_the_reason_of_a_denial_is_the_one_that_was_answered",),
    ),
    Fault(
        "what has no user is left out of the users",
        "ledger/usage_query.py",
        "self._has_rest = names_user and not query.filter.users",
        "self._has_rest = False",
        (_SUMS + "test_any_query_equals_a_count_of_the_events",),
    ),
    Fault(
        "the series of all has the groups of the page alone",
        "ledger/usage_query.py",
        "    if are_all:",
        "    if are_all or groups:",
        (_SUMS + "test_any_query_equals_a_count_of_the_events",),
    ),
    Fault(
        "hours of accounts are not kept",
        "ledger/usage_sums.sql",
        "(2, 60, hour, quarters.tenant, quarters.account, ''),",
        "",
        (_SUMS + "test_any_query_equals_a_count_of_the_events",),
    ),
    Fault(
        "days begin at midnight of UTC, whatever the time zone",
        "ledger/usage_sums.sql",
        "date_trunc('day', quarter, time_zone) AS day",
        "date_trunc('day', quarter, 'UTC') AS day",
        (_SUMS + "test_any_query_equals_a_count_of_the_events",),
    ),
    Fault(
        "a tenant's sums are those of all",
        "ledger/usage_query.py",
        '_tests.append("tenant = %(tenant)s")',
        '_tests.append("tenant <> %(tenant)s")',
        (_SERVICE + "test_sums_of_all_of_a_tenant_and_of_an_account",),
    ),
    Fault(
        "an audit does not look at the sums of users",
        "ledger/usage_audit.sql",
        "FROM (SELECT * FROM rollups WHERE level > 0) AS expected",
        "FROM (SELECT * FROM rollups WHERE level > 0 AND false) AS expected",
        (_LOG + "test_an_audit_finds_what_is_wrong_in_the_log",),
    ),
]
