"""Faults in what lets many items share a call of the hot store."""

from __future__ import annotations

from planted_faults.fault import Fault

_SCRIPTS = "hotstate/scripts/"
_DECIDE = "integration/test_decide.py::"
_GATHERER = "unit/test_gatherer.py::"
_WINDOW_LOADS = "unit/test_window_loads.py::"

FAULTS = [
    Fault(
        "what an item that faulted has changed stays",
        _SCRIPTS + "_call.lua",
        "    counts.r, counts.c, counts.f = counts.r0, counts.c0, counts.f0\n",
        "",
        (_DECIDE + "test_what_faults_in_the_middle_leaves_nothing_behind",),
    ),
    Fault(
        "an item does not see the reservations of those before it",
        _SCRIPTS + "_outbox.lua",
        "= puts[i + 1], puts[i + 2]\n",
        "= values[puts[i]], puts[i + 2]\n",
        (_DECIDE + "test_an_item_sees_those_before_it",),
    ),
    Fault(
        "an item does not see the answers of those before it",
        _SCRIPTS + "_outbox.lua",
        "local operation, waits = answered[item.answer], true",
        "local operation, waits = nil, true",
        (_DECIDE + "test_a_key_that_comes_twice_in_one_call",),
    ),
    Fault(
        "what the store would not keep is put into the outbox",
        _SCRIPTS + "_call.lua",
        "assert(keep_ms > 0 and keep_ms < AMOUNT_MAX, key .. ' can not be kept')",
        "",
        (_DECIDE + "test_what_the_store_would_not_keep_is_written_nowhere",),
    ),
    Fault(
        "an outbox that refuses is not noticed",
        _SCRIPTS + "_outbox.lua",
        "      return refuse(entry.err)\n",
        "      entry = '0-1'\n",
        (_DECIDE + "test_an_outbox_that_can_not_be_written_leaves_nothing_behind",),
    ),
    Fault(
        "what stands on a decision that was refused is answered",
        _SCRIPTS + "_outbox.lua",
        "for i = first_decided, #answers do",
        "for i = first_decided, last_decided do",
        (_DECIDE + "test_a_store_that_refuses_to_write_changes_nothing",),
    ),
    Fault(
        "an entry goes with its first operation",
        _SCRIPTS + "_outbox.lua",
        "answers[last_decided][3] = entry",
        "answers[first_decided][3] = entry",
        (_DECIDE + "test_what_a_call_decides_is_one_entry_that_goes_with_its_last_operation",),
    ),
    Fault(
        "an item does not see the expiries of those before it",
        _SCRIPTS + "_call.lua",
        "for _, expires in pairs(pending) do\n    earliest",
        "for _, expires in pairs({}) do\n    earliest",
        (_DECIDE + "test_an_item_sees_those_before_it",),
    ),
    Fault(
        "who was cancelled is sent all the same",
        "usecases/gatherer.py",
        "if not waiting[0].answer.done():",
        "if True:",
        (_GATHERER + "test_who_is_cancelled_before_it_was_sent_is_left_out",),
    ),
    Fault(
        "a problem of a call is told to the first alone",
        "usecases/gatherer.py",
        "_fail(sent, error)",
        "_fail(sent[:1], error)",
        (_GATHERER + "test_a_lost_reply_is_told_to_each_and_nothing_is_sent_twice",),
    ),
    Fault(
        "windows missed in an older epoch keep the newer ones out",
        "usecases/window_loads.py",
        "max(item.epoch for item in items)",
        "min(item.epoch for item in items)",
        (_WINDOW_LOADS + "test_what_was_missed_in_an_older_epoch_goes_with_the_newer",),
    ),
    Fault(
        "a tenant's hot state gets what was read for others",
        "usecases/window_loads.py",
        "counts = {ref: found.counts[ref] for ref in missed.refs}",
        "counts = found.counts",
        (_WINDOW_LOADS + "test_each_tenant_gets_its_own_windows_and_leases_alone",),
    ),
    Fault(
        "a window that many miss is loaded again and again",
        "usecases/window_loads.py",
        "self._load, calls_max=_TENANTS_AT_ONCE, room=everything",
        "self._load, calls_max=_TENANTS_AT_ONCE",
        (_WINDOW_LOADS + "test_many_who_miss_the_same_load_it_once",),
    ),
    Fault(
        "who came just before all is stopped waits for ever",
        "usecases/gatherer.py",
        "        for waiting in self._waiting.values():\n",
        "        for waiting in ():\n",
        (_GATHERER + "test_who_came_just_before_all_is_stopped_is_told_too",),
    ),
]
