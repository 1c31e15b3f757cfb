"""Faults in plans, accounts with an end, own budgets and what tells how everything is."""

from __future__ import annotations

from planted_faults.fault import Fault

_VERSIONS = "e2e/test_plan_versions.py::"
_OWN = "e2e/test_own_budgets.py::"
_ENDS = "e2e/test_account_ends.py::"
_HEALTH = "unit/test_health.py::"

FAULTS = [
    Fault(
        "an account goes on after its end",
        "hotstate/scripts/_policy.lua",
        "meta.now >= number_of(ends) and 'ACCOUNT_CLOSED' or why",
        "why",
        (_ENDS + "test_it_reserves_until_its_end_and_settles_after_it",),
    ),
    Fault(
        "the end of an account above counts for nothing",
        "domain/policies.py",
        "end_ms=min((node.end_ms for node in chain if node.end_ms), default=0),",
        "end_ms=chain[0].end_ms,",
        (_ENDS + "test_the_end_of_one_above_ends_it_too",),
    ),
    Fault(
        "an end that has come is moved",
        "domain/accounts.py",
        "if 0 < account.end_ms <= change_ms and",
        "if 0 < account.end_ms <= 0 and",
        (_ENDS + "test_an_end_is_moved_until_it_has_come",),
    ),
    Fault(
        "a submission is taken in after the account's end",
        "usecases/submission_rates.py",
        "raise SubmissionDenied(account, refusal)",
        "pass",
        (_ENDS + "test_it_submits_nothing_after_its_end",),
    ),
    Fault(
        "a budget of one's own forgets what was spent in its month before",
        "domain/own_budgets.py",
        "return replace(budget, limit=own.limit)",
        "return budget",
        (_OWN + "test_it_binds_at_once_also_for_what_was_spent_before",),
    ),
    Fault(
        "a budget of one's own holds the plan's down for ever",
        "domain/own_budgets.py",
        "and own.create_time.timestamp() * 1000 >= start_ms",
        "",
        (_OWN + "test_it_binds_at_once_also_for_what_was_spent_before",),
    ),
    Fault(
        "a budget of one's own is above the plan's",
        "domain/own_budgets.py",
        "elif most is not None and limit > most:",
        "elif False:",
        (_OWN + "test_it_is_within_its_bounds_and_the_plans",),
    ),
    Fault(
        "a changed plan leaves no version",
        "ledger/plans.py",
        'await connection.execute(_SQL["keep_version"], {"plan": name})',
        "pass",
        (_VERSIONS + "test_every_version_stays_readable",),
    ),
    Fault(
        "what is of no use to tenants is shown to them",
        "rpc/plan_servicing.py",
        "shows_cause = not current_caller().bound_to",
        "shows_cause = True",
        (_VERSIONS + "test_every_version_stays_readable",),
    ),
    Fault(
        "thresholds of a changed plan stay as they were",
        "ledger/plans.sql",
        "alert_thresholds = excluded.alert_thresholds, update_time",
        "update_time",
        (_VERSIONS + "test_the_thresholds_of_a_plan_are_those_of_its_budgets",),
    ),
    Fault(
        "one check at fault hides the others",
        "usecases/health.py",
        "except Exception as error:",
        "except KeyboardInterrupt as error:",
        (_HEALTH + "test_what_is_slow_or_at_fault_hides_nothing_else",),
    ),
    Fault(
        "who needs a store that is away is asked all the same",
        "usecases/health.py",
        "if missing := sorted(probe.needs & away):",
        "if missing := sorted(probe.needs & frozenset()):",
        (_HEALTH + "test_where_a_store_is_away_who_needs_it_is_not_asked",),
    ),
    Fault(
        "an audit's outcome is not kept",
        "recovery/audit.py",
        "await self._record(tenant, len(report.differences) - before)",
        "pass",
        ("e2e/test_health.py::test_drift_is_told_from_the_audit_on_until_the_next",),
    ),
]
