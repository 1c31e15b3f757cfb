"""The hot store's clock, between its answers."""

from __future__ import annotations

import time

from authority.hotstate.clock import HotClock


def test_before_the_store_has_answered_it_is_the_time_of_the_machine():
    # Else a model that was retired would be live again, and an account made in 1970.
    assert abs(HotClock().now_ms() - time.time_ns() // 1_000_000) < 1_000


def test_it_goes_on_from_what_the_store_said():
    clock = HotClock()
    clock.synchronise(5_000)
    assert 5_000 <= clock.now_ms() < 6_000
    clock.offset_ms = 60_000
    assert 65_000 <= clock.now_ms() < 66_000


def test_an_answer_has_the_offset_in_it():
    clock = HotClock(offset_ms=60_000)
    clock.observe(1_000_000)
    assert 1_000_000 <= clock.now_ms() < 1_001_000
    clock.offset_ms = 0
    assert 940_000 <= clock.now_ms() < 941_000
