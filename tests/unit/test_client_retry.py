"""When a call is tried again, and after what delay."""

from __future__ import annotations

from datetime import timedelta

import pytest

from clients import BudgetDenied, DeadlineExceeded, InternalError, RetryPolicy, Unavailable

LONGEST = RetryPolicy(random=lambda: 1.0)


def test_only_unavailable_is_tried_again():
    assert LONGEST.delay(Unavailable("x"), 1, 10) == pytest.approx(0.1)
    for kind in (BudgetDenied, DeadlineExceeded, InternalError):
        assert LONGEST.delay(kind("x", retry_after=timedelta(seconds=1)), 1, 10) is None


def test_delays_grow_to_a_bound():
    policy = RetryPolicy(random=lambda: 1.0, attempts_max=8)
    delays = [policy.delay(Unavailable("x"), attempt, 10) for attempt in range(1, 9)]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1, 1, None])


def test_five_attempts_are_the_most():
    assert LONGEST.delay(Unavailable("x"), 4, 10) is not None
    assert LONGEST.delay(Unavailable("x"), 5, 10) is None


def test_the_whole_delay_is_random():
    assert RetryPolicy(random=lambda: 0.0).delay(Unavailable("x"), 3, 10) == 0
    assert RetryPolicy(random=lambda: 0.25).delay(Unavailable("x"), 3, 10) == pytest.approx(0.1)


def test_the_authority_s_own_delay_is_kept_and_spread():
    asked = Unavailable("x", retry_after=timedelta(seconds=2))
    assert LONGEST.delay(asked, 1, 10) == pytest.approx(2.1)
    assert RetryPolicy(random=lambda: 0.0).delay(asked, 1, 10) == 2


def test_no_delay_passes_the_deadline():
    assert LONGEST.delay(Unavailable("x"), 1, 0.1) is None
    assert LONGEST.delay(Unavailable("x", retry_after=timedelta(seconds=5)), 1, 2) is None
