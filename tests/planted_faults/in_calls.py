"""Faults in what lets many items share a call of the hot store."""

from __future__ import annotations

from planted_faults.fault import Fault

_SCRIPTS = "hotstate/scripts/"
_DECIDE = "integration/test_decide.py::"
_GATHERER = "unit/test_gatherer.py::"

FAULTS = [
    Fault(
        "what an item that faulted has changed stays",
        _SCRIPTS + "decide.lua",
        "counts.r, counts.c, counts.f = counts.r0, counts.c0, counts.f0",
        "",
        (_DECIDE + "test_what_faults_in_the_middle_leaves_nothing_behind",),
    ),
    Fault(
        "an item does not see the reservations of those before it",
        _SCRIPTS + "_call.lua",
        "    values[puts[i]] = puts[i + 1]\n",
        "",
        (_DECIDE + "test_an_item_sees_those_before_it",),
    ),
    Fault(
        "an item does not see the answers of those before it",
        _SCRIPTS + "_call.lua",
        "redis.call('SET', key, values[key], 'PX', ANSWER_MS)",
        "redis.call('SET', key, values[key], 'PX', ANSWER_MS) values[key] = false",
        (_DECIDE + "test_a_key_that_comes_twice_in_one_call",),
    ),
    Fault(
        "what faults behind the outbox is put back",
        _SCRIPTS + "decide.lua",
        "if is_sound or item.is_decided then",
        "if is_sound then",
        (_DECIDE + "test_what_faults_behind_the_outbox_stands",),
    ),
    Fault(
        "an item does not see the expiries of those before it",
        _SCRIPTS + "_call.lua",
        "  write_expiries()\n  return redis.call('ZRANGE'",
        "  return redis.call('ZRANGE'",
        (_DECIDE + "test_an_item_sees_those_before_it",),
    ),
    Fault(
        "who was cancelled is sent all the same",
        "hotstate/gatherer.py",
        "if not waiting[0].answer.done():",
        "if True:",
        (_GATHERER + "test_who_is_cancelled_before_it_was_sent_is_left_out",),
    ),
    Fault(
        "a problem of a call is told to the first alone",
        "hotstate/gatherer.py",
        "_fail(sent, error)",
        "_fail(sent[:1], error)",
        (_GATHERER + "test_a_lost_reply_is_told_to_each_and_nothing_is_sent_twice",),
    ),
]
