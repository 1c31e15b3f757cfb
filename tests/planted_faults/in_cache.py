"""Faults in what the authority has of the similarity cache."""

from __future__ import annotations

from planted_faults.fault import Fault

_BOOKS = "integration/test_cache_books.py::"
_SERVICE = "integration/test_cache_service.py::"
_REUSE = "integration/test_cache_reuse.py::"

FAULTS = [
    Fault(
        "a reversal has a new key each time",
        "usecases/cache_books.py",
        "key = REVERSAL_PREFIX + uuid_of(booking.generation_id)",
        "key = REVERSAL_PREFIX + str(id(object()))",
        (_BOOKS + "test_what_is_left_undone_is_booked_back_later",),
    ),
    Fault(
        "what the cache saved is charged",
        "domain/entries.py",
        'Posting("H", Unit.USD[0], [], [], [0])',
        'Posting("H", Unit.USD[0], [], [], [1])',
        (_BOOKS + "test_hits_are_booked_once_and_charge_nothing",),
    ),
    Fault(
        "a verdict may be given twice",
        "ledger/cache.sql",
        "WHERE tenant = %(tenant)s AND generation_id = %(generation_id)s AND verdict IS NULL\n"
        "RETURNING stage, coalesce(entry_id, (",
        "WHERE tenant = %(tenant)s AND generation_id = %(generation_id)s\n"
        "RETURNING stage, coalesce(entry_id, (",
        (_BOOKS + "test_a_mismatch_is_booked_back_once",),
    ),
    Fault(
        "a pair that does not match is not denied",
        "ledger/cache.py",
        'await connection.execute(self._sql["deny_pair"], of)',
        "pass",
        (_REUSE + "test_a_pair_that_was_reported_is_told",),
    ),
    Fault(
        "an entry is never made exact-only",
        "ledger/cache.sql",
        "THEN 'EXACT_ONLY' ELSE status END",
        "THEN status ELSE status END",
        (_BOOKS + "test_two_strikes_make_an_entry_exact_only",),
    ),
    Fault(
        "nobody takes up what a report has left undone",
        "recovery/reversals.py",
        "await reverse(self._context, hit)",
        "pass",
        (_BOOKS + "test_what_is_left_undone_is_booked_back_later",),
    ),
    Fault(
        "joins are counted as hits",
        "usecases/cache.py",
        "if found.stage != JOINED)",
        ")",
        (_SERVICE + "test_counts_are_those_of_a_recount",),
    ),
    Fault(
        "entries of all tenants are listed",
        "ledger/cache.sql",
        "WHERE entry.tenant = %(tenant)s AND entry.expire_time > now()\n  AND (%(before)s = ''",
        "WHERE entry.expire_time > now()\n  AND (%(before)s = ''",
        (_SERVICE + "test_entries_are_listed_searched_and_shown",),
    ),
    Fault(
        "the farthest policy counts",
        "usecases/cache.py",
        "return [node.account for node in policy.chain(account)]",
        "return [node.account for node in policy.chain(account)][::-1]",
        (_SERVICE + "test_the_nearest_policy_counts",),
    ),
    Fault(
        "a submission that was to be suggested to is taken in",
        "usecases/generations.py",
        "            if near:\n",
        "            if not near:\n",
        (_REUSE + "test_suggest_takes_in_only_what_is_near_to_nothing",),
    ),
    Fault(
        "a replay is not compared in what it says of the cache",
        "usecases/generations.py",
        '"reuse": submission.reuse.value,',
        '"reuse": first.request["reuse"] if first else submission.reuse.value,',
        (_REUSE + "test_what_is_said_of_the_cache_is_kept_and_replayed",),
    ),
]
