"""Faults in the SQL and in what writes it."""

from __future__ import annotations

from planted_faults.fault import Fault

_CHANGES = "e2e/test_changes.py::"
_OPERATIONS = "e2e/test_operations.py::"
_STORES = "e2e/edge_cases/test_stores.py::"
_RECOVERY = "e2e/test_recovery.py::"

STATEMENTS = [
    Fault(
        "totals are replaced, not added to",
        "ledger/queries.sql",
        "reserved = window_total.reserved + excluded.reserved",
        "reserved = excluded.reserved",
        (
            _OPERATIONS + "TestRefundAndRelease::test_a_refund_of_a_hold_releases_it",
            _OPERATIONS + "TestIdempotency::test_each_verb_has_one_effect",
        ),
    ),
    Fault(
        "the ledger takes in one trip what an older epoch decided",
        "ledger/queries.sql",
        "%(fence)s::bigint IS NULL OR epoch = %(fence)s::bigint",
        "%(fence)s::bigint IS NULL OR true",
        ("e2e/test_order.py::test_what_an_older_epoch_decided_is_not_done",),
    ),
    Fault(
        "an operation is written in one trip before those that it stands on",
        "ledger/queries.sql",
        "coalesce(head.sequence, 0) <> first.sequence - 1",
        "coalesce(head.sequence, 0) > first.sequence - 1",
        ("e2e/test_order.py::test_what_stands_on_a_lost_decision_is_not_done",),
    ),
    Fault(
        "a reservation stays as it was first written",
        "ledger/queries.sql",
        "WHERE reservation.sequence < excluded.sequence",
        "WHERE reservation.sequence > excluded.sequence",
        ("e2e/test_order.py::test_what_another_has_decided_before_is_written_with_it",),
    ),
    Fault(
        "an answer is found by its key in any tenant",
        "ledger/queries.sql",
        "WHERE tenant = %(tenant)s AND idempotency_key = %(key)s",
        "WHERE idempotency_key = %(key)s",
        ("e2e/test_idempotency.py::test_a_key_is_its_tenants_own",),
    ),
    Fault(
        "a tenant is made without ON CONFLICT",
        "ledger/accounts.sql",
        "VALUES (%(tenant)s) ON CONFLICT DO NOTHING;",
        "VALUES (%(tenant)s);",
        (
            "e2e/test_admin_service.py::TestAccounts::test_an_account_is_made_once",
            "e2e/test_admin_service.py::TestAccounts::test_many_at_once_make_one",
        ),
    ),
    Fault(
        "a generation is taken in without ON CONFLICT",
        "ledger/generations.sql",
        "ON CONFLICT (tenant, idempotency_key) DO NOTHING\n",
        "",
        ("e2e/test_generation_service.py::test_a_generation_is_taken_in_once_per_key",),
    ),
    Fault(
        "a grant is voided as often as it is asked for",
        "ledger/changes.sql",
        " AND account_grant.void_ms = 0",
        "",
        (_CHANGES + "test_many_who_void_a_grant_at_once_are_one_change",),
    ),
    Fault(
        "changes of every tenant are listed",
        "ledger/changes.sql",
        " AND (%(tenant)s = '' OR tenant = %(tenant)s)",
        " AND (%(tenant)s = '' OR true)",
        ("e2e/test_list_changes.py::test_a_tenants_key_sees_its_own_and_nothing_else",),
    ),
    Fault(
        "a moment of the past leaves out what happened at it",
        "ledger/history.sql",
        "(%(moment_ms)s + 1)",
        "%(moment_ms)s",
        ("e2e/test_past.py::test_what_was_done_at_a_moment_is_in_its_balance",),
    ),
]

WRITING = [
    Fault(
        "the ledger takes what an older epoch decided",
        "ledger/journal.py",
        "if not drained and any(item.epoch != row[0] for item in operations):",
        "if False:",
        ("e2e/test_order.py::test_what_an_older_epoch_decided_is_not_done",),
    ),
    Fault(
        "an operation is written before those that it stands on",
        "ledger/journal.py",
        "sorts.ahead.append(item)",
        "sorts.next.append(item)",
        ("e2e/test_order.py::test_what_stands_on_a_lost_decision_is_not_done",),
    ),
    Fault(
        "an operation is written twice",
        "ledger/journal.py",
        "known = await self._known(connection, operations, heads)",
        "known = set[str]()",
        ("e2e/test_idempotency.py", "e2e/test_order.py"),
    ),
    Fault(
        "the outbox is trimmed before the ledger has it",
        "ledger/journal.py",
        "refused = await self.write_each([item.operation for item in batch])",
        "await self._trim([(item.operation.tenant, item.entry) for item in batch if item.entry])\n"
        "            refused = await self.write_each([item.operation for item in batch])",
        (_RECOVERY + "test_what_a_killed_process_has_decided_another_writes_down",),
    ),
    Fault(
        "the outbox is not trimmed",
        "ledger/journal.py",
        "for item in written if item.entry]",
        "for item in written[:0]]",
        ("e2e/test_idempotency.py::test_what_is_in_the_ledger_is_taken_out_of_the_outbox",),
    ),
    Fault(
        "a change and its record are two transactions",
        "ledger/accounts.py",
        "async with self.database.transaction() as connection:",
        "async with self.database.connection() as connection:",
        (_CHANGES + "test_what_can_not_be_recorded_is_not_done",),
    ),
    Fault(
        "what was refunded is not counted as refunded",
        "domain/entries.py",
        '("H", charged - refunded),\n                ("B", actual - charged + refunded),',
        '("H", charged),\n                ("B", actual - charged),',
        (_OPERATIONS + "TestRefundAndRelease::test_many_refunds_until_all_is_back",),
    ),
]

RECOVERING = [
    Fault(
        "a store that was restarted gets no new epoch",
        "recovery/epoch.py",
        'if row["run_id"] != run_id:',
        "if False:",
        (_STORES + "test_a_valkey_restored_from_an_older_copy_is_fenced_and_made_anew",),
    ),
    Fault(
        "a tenant is opened before its outbox is drained",
        "recovery/tenants.py",
        "drained = await self._drain(tenant)",
        "drained = 0",
        ("e2e/test_rebuild.py::test_what_waits_in_the_outbox_is_in_the_ledger_before",),
    ),
    Fault(
        "the sweeper expires nothing",
        "recovery/sweep.py",
        "self._context.clock.now_ms(), _EXPIRE_MAX,",
        "0, _EXPIRE_MAX,",
        (_OPERATIONS + "TestTime::test_the_sweeper_expires_what_is_due_and_nothing_else",),
    ),
    Fault(
        "the sweeper drains nothing",
        "recovery/sweep.py",
        "if present:\n",
        "if False:\n",
        (_RECOVERY + "test_what_a_killed_process_has_decided_another_writes_down",),
    ),
    Fault(
        "the sweeper does not tell the hot store of a changed policy",
        "recovery/sweep.py",
        "for tenant, version in await self._ledger.recent_policy_versions():",
        "for tenant, version in list[tuple[str, int]]():",
        ("e2e/test_policies.py::test_the_sweeper_tells_the_hot_store_what_it_missed",),
    ),
]

FAULTS = [*STATEMENTS, *WRITING, *RECOVERING]
