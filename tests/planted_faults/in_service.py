"""Faults in the use cases, the domain, the hot store's client and the RPCs."""

from __future__ import annotations

from planted_faults.fault import Fault

_OPERATIONS = "e2e/test_operations.py::"
_GRANTS = "e2e/test_grants.py::"
_MODES = "e2e/test_modes.py::"

DECIDING = [
    Fault(
        "an answer is given before the ledger has it",
        "usecases/decide.py",
        "await context.journal.append(operation, decision.entry)",
        "context.journal.append_later(operation, decision.entry)",
        ("e2e/edge_cases/test_stores.py::test_commit_twice_around_an_outage_of_postgres",),
    ),
    Fault(
        "a request is not compared with the ledger's first one",
        "usecases/decide.py",
        "known.request != keyed.request",
        "False",
        (_OPERATIONS + "TestIdempotency::test_another_request_names_what_differs",),
    ),
    Fault(
        "an old key is taken for a new one",
        "usecases/decide.py",
        "-_HOT_ANSWER_MS < made_ms - now_ms <= _AHEAD_MS_MAX",
        "made_ms - now_ms <= _AHEAD_MS_MAX",
        (_OPERATIONS + "TestIdempotency::test_an_old_key_is_known_for_ever",),
    ),
    Fault(
        "a request is compared without its time to live",
        "usecases/reserve.py",
        '        "ttl_ms": request.ttl_ms,\n',
        "",
        (_OPERATIONS + "TestIdempotency::test_another_request_names_what_differs",),
    ),
    Fault(
        "an account below one that is frozen may spend",
        "domain/policies.py",
        "refusal=_refusal({node.state for node in chain}),",
        "refusal=_refusal({chain[0].state}),",
        (_OPERATIONS + "TestDenials::test_an_account_that_may_not",),
    ),
    Fault(
        "money that nothing meters is spent",
        "domain/policies.py",
        "return DenialReason.NO_BUDGET",
        "return None",
        (_OPERATIONS + "TestDenials::test_money_that_no_budget_meters",),
    ),
    Fault(
        "a request may be as large as it likes",
        "domain/policies.py",
        "return DenialReason.PER_REQUEST_CAP",
        "return None",
        (_MODES + "TestLimits::test_per_request",),
    ),
    Fault(
        "DEBT is held to the limit",
        "usecases/settle.py",
        "limits=_limits(policy, held.windows, in_debt=in_debt),",
        "limits=_limits(policy, held.windows),",
        (_OPERATIONS + "TestCommit::test_what_is_charged_and_what_absorbed",),
    ),
    Fault(
        "what comes back to a spent grant is not known to others",
        "usecases/settle.py",
        "await bind_policy(context, tenant_of(reservation_id))",
        "pass",
        (_GRANTS + "test_a_refund_makes_a_spent_grant_spendable_again",),
    ),
    Fault(
        "the hot store is not told of a changed limit",
        "usecases/plans.py",
        "if not await context.hot.raise_policy_version(tenant, version):",
        "if False:",
        (_OPERATIONS + "TestPolicy::test_a_changed_limit_binds_the_next_reserve_everywhere",),
    ),
    Fault(
        "budgets of the accounts above do not bind",
        "domain/policies.py",
        "for node in self.chain(account)\n            for budget in",
        "for node in [self.accounts[account]]\n            for budget in",
        (_OPERATIONS + "TestDenials::test_every_limit_is_named_the_tightest_first",),
    ),
    Fault(
        "a window ignores its account's time zone",
        "domain/policies.py",
        "time_zone = self.accounts[budget.account].time_zone",
        'time_zone = "UTC"',
        ("e2e/test_admin_service.py::test_a_window_follows_the_time_zone_of_its_own_account",),
    ),
    Fault(
        "a window begins a moment late",
        "domain/windows.py",
        "now_ms // QUARTER_MS)",
        "(now_ms - 1) // QUARTER_MS)",
        ("unit/test_windows.py::test_a_window_is_where_the_calendar_says",),
    ),
    Fault(
        "grants that never expire are spent first",
        "domain/grants.py",
        "            self.expire_ms == 0,\n",
        "            self.expire_ms != 0,\n",
        (_GRANTS + "test_they_are_spent_by_priority_then_expiry_then_age",),
    ),
    Fault(
        "a voided grant is spent",
        "domain/grants.py",
        "min(filter(None, (self.expire_ms, self.void_ms)), default=0)",
        "self.expire_ms",
        (_GRANTS + "test_a_voided_grant_can_not_be_spent",),
    ),
    Fault(
        "a script is not given the keys of the grants",
        "hotstate/commands.py",
        "refs=(*held.windows, *held.lots),\n        leased=_leased",
        "refs=held.windows,\n        leased=_leased",
        (_GRANTS + "test_they_are_spent_by_priority_then_expiry_then_age",),
    ),
    Fault(
        "a key lies in another slot than its tenant",
        "hotstate/keys.py",
        'f"pm:{{{self.tenant}}}:{self.epoch}:rate:{account}"',
        'f"pm:{self.tenant}:{self.epoch}:rate:{account}"',
        ("integration/test_cluster.py::test_every_script_declares_every_key",),
    ),
    Fault(
        "the hot store's client repeats a script",
        "hotstate/store.py",
        '"retry": Retry(NoBackoff(), 0),',
        '"retry": Retry(NoBackoff(), 3),\n        "retry_on_error": [RedisError],',
        ("integration/test_dropped_replies.py",),
    ),
]

SERVING = [
    Fault(
        "a call needs no scope",
        "rpc/access.py",
        "if not any(map(caller.may, needed)):",
        "if False:",
        ("e2e/test_keys.py::test_every_rpc_asks_for_its_scope",),
    ),
    Fault(
        "the platform's own calls are everybody's",
        "rpc/access.py",
        "if method in PLATFORM_ONLY and caller.bound_to:",
        "if False:",
        ("e2e/test_isolation.py::test_what_is_of_no_tenant_is_the_platforms",),
    ),
    Fault(
        "a grant of another tenant may be named",
        "rpc/access.py",
        '        "grant_id",\n',
        "",
        (
            "e2e/test_isolation.py::test_it_is_known_of_every_text_whether_it_names_something_of_a_tenant",
            "e2e/test_isolation.py::test_no_request_may_name_what_is_of_another_tenant",
        ),
    ),
    Fault(
        "only the first item is looked at",
        "rpc/access.py",
        "if not all(_is_own(item, inner, tenant) for item in getattr(message, field)):",
        "if not all(_is_own(item, inner, tenant) for item in getattr(message, field)[:1]):",
        ("e2e/test_isolation.py::test_every_item_is_looked_at",),
    ),
    Fault(
        "a listing without a tenant is of all",
        "rpc/access.py",
        "request.tenant = tenant  # type",
        "pass  # type",
        ("e2e/test_isolation.py::test_listings_without_a_tenant_show_its_own",),
    ),
    Fault(
        "a revoked key is let in",
        "usecases/credentials.py",
        "if key.revoke_time is not None:",
        "if False:",
        ("e2e/test_keys.py::test_a_revocation_binds_on_every_process_within_seconds",),
    ),
    Fault(
        "a key is let in with any secret",
        "usecases/credentials.py",
        " or not token.matches(seen.stored.secret_hash)",
        "",
        ("e2e/test_keys.py::test_garbage_and_foreign_tokens_are_refused_and_told_how_to_go_on",),
    ),
    Fault(
        "a bad item fails the batch",
        "rpc/outcomes.py",
        "return status_of(error)",
        "raise",
        ("e2e/test_batches.py::test_a_bad_item_fails_alone_and_says_what_the_unary_call_would",),
    ),
    Fault(
        "a tenant that floods is served first",
        "rpc/intake.py",
        "line = self._lines.pop(follower)",
        "line = self._lines[follower]\n"
        "            if len(line) == 1:\n"
        "                del self._lines[follower]",
        ("unit/test_intake.py::test_tenants_take_turns_however_long_their_lines_are",),
    ),
    Fault(
        "a place is lost with a caller that leaves",
        "rpc/intake.py",
        "self.leave(tenant)  # The turn",
        "pass  # The turn",
        ("unit/test_intake.py::test_a_place_is_not_lost_with_a_caller_that_leaves",),
    ),
    Fault(
        "a tenant beside others takes all places",
        "rpc/intake.py",
        "return self._share_max if together else self._at_once_max",
        "return self._at_once_max",
        ("unit/test_intake.py::test_a_tenant_beside_others_has_its_share_and_one_alone_has_all",),
    ),
    Fault(
        "a burst whose last call hangs holds up all others",
        "rpc/intake.py",
        "self._close(_BURST_SECONDS_MAX)",
        "self._gate = asyncio.Event()",
        ("unit/test_intake.py::test_what_comes_while_a_burst_is_under_way_waits_for_its_end",),
    ),
    Fault(
        "a session reads on without an end",
        "rpc/session_servicing.py",
        "while self._under_way >= UNDER_WAY_MAX:",
        "while False:",
        ("e2e/test_sessions.py::test_no_more_than_a_thousand_are_under_way",),
    ),
    Fault(
        "an operation ends when its caller leaves",
        "rpc/shield.py",
        "return await asyncio.shield(self.start(operation))",
        "return await self.start(operation)",
        ("e2e/test_sessions.py::test_what_was_decided_goes_on_when_the_caller_vanishes",),
    ),
]

FAULTS = [*DECIDING, *SERVING]
