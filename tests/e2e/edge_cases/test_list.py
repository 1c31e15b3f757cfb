"""The edge cases at which such systems are known to break, and where each is tried.

A case stands here with its number and in words, below it the files and in them the tests. One that
is moved or renamed makes this file red.
"""

from __future__ import annotations

from pathlib import Path

import pytest

E2E = Path(__file__).parents[1]

CASES = """\
1 a duplicate Reserve in flight a hundred times is one hold
  test_concurrency.py
    test_one_key_at_once_is_one_hold
2 one key for two amounts, racing, has one effect
  test_concurrency.py
    test_one_key_for_two_requests_at_once_has_one_effect
3 denied, topped up, same key: still denied
  edge_cases/test_amounts.py
    test_denied_then_topped_up_the_same_key_is_still_denied
  test_idempotency.py
    test_a_denial_stays_one_after_the_limit_was_raised
4 a reply lost after the script ran
  edge_cases/test_stores.py
    test_a_reply_lost_after_the_script_ran_is_answered_to_the_same_key
5 commit and release race
  edge_cases/test_races.py
    test_commit_and_release_race_and_exactly_one_of_them_wins
6 commit and sweeper race at the expiry; sweeper on, off and paused
  edge_cases/test_expiry.py
    test_commit_and_sweeper_race_at_the_expiry
7 two commits with different keys
  edge_cases/test_races.py
    test_two_commits_with_different_keys_at_once_charge_once
  test_operations.py
    TestCommit::test_twice_under_two_keys
8 commit twice around an outage of Postgres
  edge_cases/test_stores.py
    test_commit_twice_around_an_outage_of_postgres
9 commit above the hold by each policy, and at the exact limit
  edge_cases/test_amounts.py
    test_a_commit_above_the_hold_at_the_exact_limit_and_one_above_it
10 commit zero
  edge_cases/test_amounts.py
    test_a_commit_of_zero_gives_the_whole_hold_back_and_closes
11 partial, partial, final
  test_partial_commits.py
    TestParts::test_partial_partial_final
12 expiry after a partial commit
  test_partial_commits.py
    TestParts::test_expiry_after_a_part_gives_back_the_rest
13 a late commit before and after its window's end
  edge_cases/test_times.py
    test_a_late_commit_before_and_after_the_end_of_its_window
14 a grant expires while it is held; what is released is expired
  test_grants.py
    test_a_grant_that_expires_while_it_is_held
15 a refund after the grant's expiry
  test_grants.py
    test_a_refund_after_expiry_is_forfeited_or_restored
16 a refund after its window has ended
  edge_cases/test_times.py
    test_a_refund_after_its_window_has_ended_frees_nothing_in_the_new_one
17 refunds that race, together above the charge
  edge_cases/test_races.py
    test_refunds_that_race_give_back_no_more_than_was_charged
18 a reservation across midnight, clock change and month's end
  edge_cases/test_times.py
    test_a_reservation_across_midnight_clock_change_or_month_end
19 a limit lowered below what is used and held
  edge_cases/test_amounts.py
    test_a_limit_lowered_below_what_is_used_and_held
20 an account closed with live holds
  edge_cases/test_amounts.py
    test_an_account_closed_with_live_holds_may_settle_them_and_reserve_nothing
21 a settings change that races a charge
  edge_cases/test_races.py
    test_a_settings_change_that_races_charges_erases_none_of_them
22 Valkey killed, emptied, restored from an older copy
  test_crashes.py
    test_nothing_acknowledged_is_lost_or_doubled
  edge_cases/test_stores.py
    test_a_valkey_restored_from_an_older_copy_is_fenced_and_made_anew
23 Postgres is down: Reserve and Commit
  edge_cases/test_stores.py
    test_commit_twice_around_an_outage_of_postgres
  test_outages.py
    test_a_store_that_is_away
24 a clock that jumps an hour ahead and back
  edge_cases/test_times.py
    test_a_clock_that_jumps_an_hour_ahead_and_back_never_goes_back_for_a_tenant
25 a poison row is set aside, and not tried for ever
  edge_cases/test_expiry.py
    test_a_poison_row_is_set_aside_and_does_not_stop_the_sweeper
    test_a_poison_row_in_the_way_of_a_reserve_denies_it_and_is_no_fault
26 a commit arrives before the ledger has the reserve
  edge_cases/test_stores.py
    test_a_commit_that_arrives_before_the_ledger_has_the_reserve
27 a worker dies after the provider accepted, before usage is known
  test_pipeline.py
    test_a_killed_worker_makes_the_account_pay_for_what_was_asked_and_no_more
  test_pipeline_deaths.py
    test_a_death_at_any_step_loses_nothing_and_pays_nothing_twice
29 the first-ever requests of an unknown account, at once
  edge_cases/test_races.py
    test_first_ever_requests_at_once_of_an_account_that_nobody_knew
30 a batch with one bad item
  test_batches.py
    test_a_bad_item_fails_alone_and_says_what_the_unary_call_would
"""

# What there is nothing to try on yet, and why.
LATER = {
    "28 a fallback to another provider after work has started": (
        "Workers have no fallback providers yet. That a call whose outcome is unknown is paid for "
        "twice at the most is tried by test_pipeline.py::test_nobody_pays_three_times."
    ),
}


def places():
    """Yield each case with a file and a test in it."""
    case = path = ""
    for line in CASES.splitlines():
        match len(line) - len(line.lstrip()):
            case 0:
                case = line
            case 2:
                path = line.strip()
            case _:
                yield case, path, line.strip()


def test_every_case_is_tried_or_says_why_not_yet():
    names = {case for case, _, _ in places()} | LATER.keys()
    assert sorted(int(name.split()[0]) for name in names) == list(range(1, 31))


@pytest.mark.parametrize(("case", "path", "test"), list(places()))
def test_the_test_of_a_case_exists(case, path, test):
    text = (E2E / path).read_text()
    for name in test.split("::"):
        assert f"def {name}(" in text or f"class {name}:" in text
