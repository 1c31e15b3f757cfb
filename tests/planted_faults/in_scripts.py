"""Faults in the hot store's scripts."""

from __future__ import annotations

from planted_faults.fault import Fault

_SCRIPTS = "hotstate/scripts/"
_OPERATIONS = "e2e/test_operations.py::"
_PARTS = "e2e/test_partial_commits.py::"
_GRANTS = "e2e/test_grants.py::"
_MODES = "e2e/test_modes.py::"
_COMMIT = _OPERATIONS + "TestCommit::test_what_is_charged_and_what_absorbed"

SHARED = [
    Fault(
        "a script serves a tenant of an older epoch",
        _SCRIPTS + "_prelude.lua",
        "if values[1] ~= EPOCH then",
        "if not values[1] then",
        ("e2e/test_rebuild.py::test_no_tenant_serves_in_a_new_epoch_before_it_is_opened",),
    ),
    Fault(
        "the clock of a tenant goes back",
        _SCRIPTS + "_prelude.lua",
        "if now < last then",
        "if false then",
        (
            "e2e/edge_cases/test_times.py::test_a_clock_that_jumps_an_hour_ahead_and_back_never_goes_back_for_a_tenant",
        ),
    ),
    Fault(
        "a replay is not recognised",
        _SCRIPTS + "_outbox.lua",
        "local stored = values[item.answer]\n    if not stored then",
        "local stored = values[item.answer]\n    if true then",
        (_OPERATIONS + "TestIdempotency::test_each_verb_has_one_effect",),
    ),
    Fault(
        "a key that is used for another request is not noticed",
        _SCRIPTS + "_outbox.lua",
        "if request ~= item.request then",
        "if false then",
        (_OPERATIONS + "TestIdempotency::test_another_request_names_what_differs",),
    ),
    Fault(
        "the ledger is not asked for answers that the store has lost",
        _SCRIPTS + "_outbox.lua",
        "return item.checked ~= '1' and meta.now - meta.loaded < ANSWER_MS",
        "return false",
        ("e2e/test_idempotency.py::test_a_new_key_is_known_after_the_hot_store_was_emptied",),
    ),
    Fault(
        "a denial is not replayed",
        _SCRIPTS + "_outbox.lua",
        "if item.answer then",
        "if item.answer and not string.find(text, 'denied') then",
        (_OPERATIONS + "TestIdempotency::test_a_denial_is_replayed_even_when_it_would_fit_now",),
    ),
    Fault(
        "an operation is not put into the outbox",
        _SCRIPTS + "_outbox.lua",
        "redis.pcall('XADD', KEYS[2], '*', unpack(outbox))",
        "'0-1'",
        ("e2e/test_recovery.py::test_what_a_killed_process_has_decided_another_writes_down",),
    ),
    Fault(
        "what is missing is taken for zero",
        _SCRIPTS + "_call.lua",
        "return nil, { key and 'MISSING' or 'MISPLACED' }",
        "values[key] = '0 0 0'",
        (_GRANTS + "test_grants_come_back_from_the_ledger",),
    ),
    Fault(
        "a change of a count is not told to the ledger",
        _SCRIPTS + "_call.lua",
        "text = text .. (i > 1 and ' ' or '') .. counts.ref .. amounts",
        "",
        (_OPERATIONS + "TestRefundAndRelease::test_many_refunds_until_all_is_back",),
    ),
    Fault(
        "a final commit does not give back what it does not need",
        _SCRIPTS + "_holds.lua",
        "add(counts, -held.legs[counts.unit].held, 0, 0)",
        "",
        (_COMMIT,),
    ),
    Fault(
        "what is given back does not come back to its grants",
        _SCRIPTS + "_holds.lua",
        "add(receipt.counts, -receipt.held, 0, 0)",
        "",
        (_GRANTS + "test_a_leg_is_covered_by_grants_or_denied",),
    ),
    Fault(
        "a window that has ended is held on",
        _SCRIPTS + "_policy.lua",
        "or meta.now >= finish),",
        "or false),",
        (
            "e2e/edge_cases/test_times.py::test_a_process_with_a_late_clock_holds_on_no_window_that_has_ended",
        ),
    ),
    Fault(
        "a grant that has expired is spent",
        _SCRIPTS + "_policy.lua",
        "(expires == 0 or meta.now < expires)",
        "true",
        (_GRANTS + "test_a_grant_that_expires_while_it_is_held",),
    ),
    Fault(
        "a grant is spent before it is in effect",
        _SCRIPTS + "_policy.lua",
        "meta.now >= effective",
        "true",
        (_GRANTS + "test_a_grant_that_is_not_in_effect_yet",),
    ),
    Fault(
        "a debt to a grant is forgotten",
        _SCRIPTS + "_lots.lua",
        "need = need + math.max(-left_of(lot), 0)",
        "",
        (_GRANTS + "TestOverage::test_debt",),
    ),
    Fault(
        "one more than the limit fits",
        _SCRIPTS + "_limits.lua",
        "amount > left_of(window))",
        "amount > left_of(window) + 1)",
        (_OPERATIONS + "TestOptions::test_the_first_that_fits_is_held",),
    ),
    Fault(
        "a soft cap denies the last option too",
        _SCRIPTS + "_limits.lua",
        "or (window.enforcement == 'DOWNGRADE' and not is_lowest)",
        "or window.enforcement == 'DOWNGRADE'",
        (_OPERATIONS + "TestOptions::test_a_soft_cap_denies_all_but_the_last",),
    ),
    Fault(
        "a count passes the exact numbers",
        _SCRIPTS + "_limits.lua",
        "amount > left_of(window)) or overflows then",
        "amount > left_of(window)) then",
        ("e2e/test_extremes.py::test_no_count_passes_the_largest_amount",),
    ),
    Fault(
        "what is held is not held on its grants",
        _SCRIPTS + "_limits.lua",
        "add(lot.counts, part, 0, 0)",
        "",
        (_GRANTS + "test_a_leg_is_covered_by_grants_or_denied",),
    ),
    Fault(
        "a Reserve counts twice against the rate",
        _SCRIPTS + "_prelude.lua",
        "+ math.floor(60000000 / per_minute)",
        "+ 2 * math.floor(60000000 / per_minute)",
        (
            _MODES + "TestLimits::test_the_rate",
            "e2e/test_reclaim.py::test_it_counts_once_against_the_rate",
        ),
    ),
    Fault(
        "best effort takes more than a budget has left",
        _SCRIPTS + "_limits.lua",
        "amount = math.min(amount, left_of(window))",
        "",
        (_MODES + "TestBestEffort",),
    ),
]

RESERVING = [
    Fault(
        "a Reserve is decided by an older policy",
        _SCRIPTS + "reserve.lua",
        "if meta.policy ~= context.policy then",
        "if false then",
        (_OPERATIONS + "TestPolicy::test_a_changed_limit_binds_the_next_reserve_everywhere",),
    ),
    Fault(
        "a Reserve that reclaims first counts twice against the rate",
        _SCRIPTS + "reserve.lua",
        "rate(context.rates)\n  if retry > 0 then",
        "rate(context.rates)\n  for _, write in ipairs(rated) do values[write[1]] = write[2]"
        " redis.call('SET', write[1], write[2], 'PX', 120000) end\n  if retry > 0 then",
        ("e2e/test_reclaim.py::test_it_counts_once_against_the_rate",),
    ),
    Fault(
        "a check is written down",
        _SCRIPTS + "reserve.lua",
        "if is_check then\n    for unit",
        "if false then\n    for unit",
        (_MODES + "TestCheckOnly",),
    ),
    Fault(
        "the rate is looked at before the cap on open reservations",
        _SCRIPTS + "reserve.lua",
        "if open_one then",
        "if open_one and rate(context.rates) == 0 then",
        (_MODES + "test_the_order_of_checks",),
    ),
    Fault(
        "expired reservations are not reclaimed before a denial",
        _SCRIPTS + "reserve.lua",
        "if #expired > 0 then",
        "if false then",
        ("e2e/test_reclaim.py::test_a_reserve_takes_what_they_held",),
    ),
    Fault(
        "an extension goes past seven days",
        _SCRIPTS + "extend.lua",
        "math.min(meta.now + tonumber(ttl), longest)",
        "meta.now + tonumber(ttl)",
        (_PARTS + "TestExtend::test_no_longer_than_its_life",),
    ),
    Fault(
        "an extension passes the limit",
        _SCRIPTS + "extend.lua",
        "if limits or shorts then",
        "if false then",
        (_PARTS + "TestExtend::test_amount",),
    ),
    Fault(
        "what has expired is extended",
        _SCRIPTS + "extend.lua",
        "elseif held.state ~= 'HELD' or meta.now >= tonumber(held.expires) then",
        "elseif held.state ~= 'HELD' then",
        (_PARTS + "TestExtend::test_what_has_expired_is_not_extended_though_nobody_sweeps",),
    ),
]

SETTLING = [
    Fault(
        "what was committed is committed again",
        _SCRIPTS + "commit.lua",
        "held.state == 'COMMITTED' or (",
        "(",
        (_OPERATIONS + "TestCommit::test_twice_under_two_keys",),
    ),
    Fault(
        "what was released is committed without force",
        _SCRIPTS + "commit.lua",
        " or (held.state == 'RELEASED' and force ~= '1')",
        "",
        (_OPERATIONS + "TestCommit::test_after_release",),
    ),
    Fault(
        "a commit is decided by an older policy",
        _SCRIPTS + "commit.lua",
        "if meta.policy ~= context.policy then",
        "if false then",
        (_OPERATIONS + "TestPolicy::test_a_changed_limit_binds_the_next_commit_everywhere",),
    ),
    Fault(
        "CAP charges above the hold",
        _SCRIPTS + "commit.lua",
        "if context.rule ~= 'CAP' and cost > base then",
        "if cost > base then",
        (_COMMIT,),
    ),
    Fault(
        "the last window binds, not the tightest",
        _SCRIPTS + "_charges.lua",
        "free = math.min(free, math.max(left, 0))",
        "free = math.max(left, 0)",
        (
            "e2e/edge_cases/test_amounts.py::test_the_tightest_budget_bounds_a_commit_above_the_hold",
        ),
    ),
    Fault(
        "a late commit passes the exact numbers",
        _SCRIPTS + "commit.lua",
        "local base, extra = math.min(cost, own, room), 0",
        "local base, extra = math.min(cost, own), 0",
        ("e2e/test_extremes.py::test_late_commits_do_not_pass_it_either",),
    ),
    Fault(
        "what is charged stays held",
        _SCRIPTS + "commit.lua",
        "add(counts, is_held and -base or 0, base + extra, 0)",
        "add(counts, 0, base + extra, 0)",
        (_COMMIT,),
    ),
    Fault(
        "what is absorbed is not booked",
        _SCRIPTS + "commit.lua",
        "unit .. ',' .. fmt(cost) .. ','",
        "unit .. ',0,'",
        (_COMMIT,),
    ),
    Fault(
        "a late commit is not flagged",
        _SCRIPTS + "commit.lua",
        "held.late = '1'",
        "",
        (_OPERATIONS + "TestCommit::test_late",),
    ),
    Fault(
        "a part settles the reservation",
        _SCRIPTS + "commit.lua",
        "if final == '1' then",
        "if true then",
        (_PARTS + "TestParts::test_partial_partial_final",),
    ),
    Fault(
        "a part is forgotten",
        _SCRIPTS + "commit.lua",
        "reservation = write_reservation(held),",
        "reservation = (final == '1' and write_reservation or packed_reservation)(held),",
        (_PARTS + "TestParts::test_partial_partial_final",),
    ),
    Fault(
        "more is refunded than was charged",
        _SCRIPTS + "refund.lua",
        "if amount > refundable then",
        "if false then",
        (_OPERATIONS + "TestRefundAndRelease::test_many_refunds_until_all_is_back",),
    ),
    Fault(
        "a refund does not count those before it",
        _SCRIPTS + "refund.lua",
        "leg.refunded = leg.refunded + amount",
        "leg.refunded = amount",
        (_OPERATIONS + "TestRefundAndRelease::test_many_refunds_until_all_is_back",),
    ),
    Fault(
        "a refund goes to the first grant first",
        _SCRIPTS + "refund.lua",
        "for i = #held.lots, 1, -1 do",
        "for i = 1, #held.lots do",
        (_GRANTS + "test_they_are_spent_by_priority_then_expiry_then_age",),
    ),
    Fault(
        "what was committed is released",
        _SCRIPTS + "release.lua",
        "elseif held.state == 'COMMITTED' then",
        "elseif false then",
        (_OPERATIONS + "TestRefundAndRelease::test_a_release_of_what_is_settled",),
    ),
    Fault(
        "a reservation expires before its time",
        _SCRIPTS + "expire.lua",
        "elseif meta.now < tonumber(held.expires) then",
        "elseif false then",
        (_OPERATIONS + "TestTime::test_who_comes_too_early_expires_nothing",),
    ),
    Fault(
        "an expiry gives nothing back",
        _SCRIPTS + "expire.lua",
        "give_back(held, 'EXPIRED')",
        "held.state = 'EXPIRED'",
        (_OPERATIONS + "TestTime::test_the_sweeper_expires_what_is_due_and_nothing_else",),
    ),
    Fault(
        "an adjustment does not go down",
        _SCRIPTS + "adjust.lua",
        "math.max(amount, 0), math.max(-amount, 0))",
        "math.max(amount, 0), 0)",
        (_PARTS + "TestAdjust::test_more_and_less",),
    ),
]

LOADING = [
    Fault(
        "what is loaded replaces what is newer",
        _SCRIPTS + "load.lua",
        "ARGV[i - 1], 'PX', KEEP_MS, 'NX')",
        "ARGV[i - 1], 'PX', KEEP_MS)",
        ("e2e/test_policies.py::test_a_window_that_is_loaded_leaves_newer_counts_alone",),
    ),
    Fault(
        "a tenant that is opened begins its sequence anew",
        _SCRIPTS + "open.lua",
        "'sequence', ARGV[1],",
        "'sequence', '0',",
        (_GRANTS + "test_grants_come_back_from_the_ledger",),
    ),
    Fault(
        "a tenant that is opened does not know what will expire",
        _SCRIPTS + "open.lua",
        "redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i + 1])",
        "",
        ("e2e/test_reclaim.py::test_they_are_known_after_the_hot_store_was_emptied",),
    ),
    Fault(
        "a store that was emptied is not noticed",
        _SCRIPTS + "fence.lua",
        "if not epoch and ARGV[1] == '1' then",
        "if false then",
        ("e2e/test_order.py::test_what_an_older_epoch_decided_is_not_done",),
    ),
]

FAULTS = [*SHARED, *RESERVING, *SETTLING, *LOADING]
