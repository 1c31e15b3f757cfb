"""Faults in what users pay, and in what a soft cap makes of it."""

from __future__ import annotations

from planted_faults.fault import Fault

_SCRIPTS = "hotstate/scripts/"
_OPERATIONS = "e2e/test_operations.py::"
_MIGRATION = "ledger/migrations/0017_credits.sql"
_REVENUE = "integration/test_revenue.py::"
_STATUS = "e2e/test_credit_status.py::"
_PRICES = "e2e/test_prices.py::"

FAULTS = [
    Fault(
        "a soft cap denies all ways but one to pay for the lowest tier",
        _SCRIPTS + "reserve.lua",
        "option.tier == options[#options].tier",
        "i == #options",
        (_OPERATIONS + "TestOptions::test_a_soft_cap_spares_every_way_to_pay_for_the_lowest_tier",),
    ),
    Fault(
        "another way to pay is told as a lesser tier",
        _SCRIPTS + "reserve.lua",
        "if option.tier ~= options[chosen].tier then",
        "if true then",
        (_OPERATIONS + "TestOptions::test_another_way_to_pay_is_no_lesser_tier",),
    ),
    Fault(
        "each charge is rounded by itself",
        _MIGRATION,
        "earned_micros(price_micros, amount, used_after) - ",
        "earned_micros(price_micros, amount, used) + 0 * ",
        (_REVENUE + "test_all_revenue_of_a_grant_that_is_used_up_is_its_price",),
    ),
    Fault(
        "what is owed above a grant earns",
        _MIGRATION,
        "least(greatest(used, 0), amount)",
        "greatest(used, 0)",
        (_REVENUE + "test_all_revenue_of_a_grant_that_is_used_up_is_its_price",),
    ),
    Fault(
        "the revenue of a lot begins anew with each batch",
        _MIGRATION,
        "coalesce(lot_use.used, 0)",
        "0",
        (_REVENUE + "test_revenue_is_what_the_rule_says_however_it_is_told",),
    ),
    Fault(
        "what another process has granted is not seen",
        "usecases/credits.py",
        "await context.ledger.policy_version(tenant)",
        "0",
        (_STATUS + "test_what_another_process_has_granted_is_seen",),
    ),
    Fault(
        "an allowance that is spent up is not shown",
        "usecases/read.py",
        "                grants,\n",
        "                [grant for grant in grants if not grant.is_spent],\n",
        (_STATUS + "test_what_is_free_and_what_was_paid_are_told_apart",),
    ),
    Fault(
        "a budget that never denies is a cap",
        "usecases/credits.py",
        "            and item.window.budget.enforcement is not Enforcement.NOTIFY\n",
        "",
        (_STATUS + "test_what_is_free_and_what_was_paid_are_told_apart",),
    ),
    Fault(
        "two who change the prices at once overwrite one another",
        "ledger/prices.py",
        "if base_version not in (0, before.version):",
        "if False:",
        (_PRICES + "test_a_change_of_what_is_the_latest_no_more_is_refused",),
    ),
    Fault(
        "what was paid for a grant is no part of its request",
        "domain/grants.py",
        "for name in _RARE_NUMBERS if getattr(self, name)",
        "for name in ()",
        (_PRICES + "test_what_was_paid_for_a_grant_is_kept_and_a_top_up_is_made_once",),
    ),
]
