"""The gate's bound, and the intervals of the evaluation, against sums of exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from similarity.gate import BIN_MAX, BIN_PPM, CREDIT, Bin, bin_of
from similarity.intervals import at_most, interval, upper_bound

PPM = 1_000_000
BY_DEFAULT = 10_000

counts = st.integers(1, 400).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


def exact_tail(count, total, ppm):
    """Return the probability of at most `count` of `total`, in whole numbers."""
    wrong, right = ppm, PPM - ppm
    ways = sum(comb(total, k) * wrong**k * right ** (total - k) for k in range(count + 1))
    return Fraction(ways, PPM**total)


def exact_bound(count, total):
    """Return the least millionth at which so few are seen with a probability of 5 % or less."""
    low, high = 0, PPM
    while low < high:
        middle = (low + high) // 2
        if exact_tail(count, total, middle) <= Fraction(1, 20):
            high = middle
        else:
            low = middle + 1
    return low


def test_known_bounds():
    # The rule of three and its neighbours: 1 - 0.05 ** (1 / n).
    assert upper_bound(0, 299, 0.05) == pytest.approx(0.00997, abs=1e-5)
    assert upper_bound(0, 298, 0.05) > 0.01
    assert upper_bound(1, 300, 0.05) == pytest.approx(0.01571, abs=1e-5)
    assert upper_bound(0, 59, 0.05) == pytest.approx(0.04950, abs=1e-5)
    assert upper_bound(0, 58, 0.05) > 0.05
    assert interval(5, 100) == pytest.approx((0.016432, 0.112835), abs=1e-6)
    assert interval(50, 100) == pytest.approx((0.398321, 0.601679), abs=1e-6)
    assert interval(0, 0) == (0.0, 1.0)
    assert interval(7, 7) == pytest.approx((0.590384, 1.0), abs=1e-6)


def test_a_bin_is_open_until_the_first_report_and_again_after_a_long_sample():
    assert CREDIT == 299
    assert Bin().is_open(BY_DEFAULT)
    assert Bin().bound_ppm == 9_970
    assert not Bin(matches=0, mismatches=1).is_open(BY_DEFAULT)
    reopened = next(n for n in range(1_000) if Bin(n, 1).is_open(BY_DEFAULT))
    assert reopened + 1 + CREDIT == 473
    assert not Bin().is_open(9_969)
    assert Bin().is_open(9_970)


def test_chats_have_no_credit():
    assert Bin.of("guarded", 0, 0) == Bin()
    assert Bin.of("chat", 0, 0).bound_ppm == PPM
    assert not Bin.of("chat", 298, 0).is_open(BY_DEFAULT)
    assert Bin.of("chat", 299, 0).is_open(BY_DEFAULT)


@given(counts)
def test_the_bound_is_the_least_that_can_be_believed(counted):
    count, total = counted
    bound = upper_bound(count, total, 0.05)
    if count < total:
        exact = exact_bound(count, total)
        # It is summed in floats, which are right to about ten digits.
        assert (exact - 1) / PPM - 1e-9 <= bound <= exact / PPM + 1e-9


@given(counts, st.integers(0, PPM))
def test_the_tail_is_the_sum(counted, ppm):
    count, total = counted
    assert at_most(count, total, ppm / PPM) == pytest.approx(
        float(exact_tail(count, total, ppm)), rel=1e-9, abs=1e-15
    )


@given(st.integers(0, 3_000), st.integers(0, 60), st.integers(0, PPM))
def test_a_bin_is_open_by_its_bound(matches, mismatches, max_error_ppm):
    found = Bin(matches, mismatches)
    if abs(found.bound_ppm - max_error_ppm) > 1:
        assert found.is_open(max_error_ppm) == (found.bound_ppm <= max_error_ppm)
    assert Bin(matches + 1, mismatches).bound_ppm <= found.bound_ppm
    assert Bin(matches, mismatches + 1).bound_ppm > found.bound_ppm


@given(counts)
def test_an_interval_has_what_was_seen(counted):
    count, total = counted
    lower, upper = interval(count, total)
    assert 0 <= lower <= count / total <= upper <= 1
    flipped = interval(total - count, total)
    assert (lower, upper) == pytest.approx((1 - flipped.upper, 1 - flipped.lower), abs=1e-12)


def test_many_verdicts_take_no_long_time():
    assert upper_bound(1_000, 1_000_000, 0.05) == pytest.approx(0.001054, abs=1e-6)
    assert not Bin(900_000, 100_000).is_open(BY_DEFAULT)


@given(st.none() | st.integers(-PPM, 2 * PPM))
def test_every_score_has_a_bin(score_ppm):
    assert 0 <= bin_of(score_ppm) <= BIN_MAX
    if score_ppm is not None and 0 <= score_ppm < PPM:
        assert bin_of(score_ppm) * BIN_PPM <= score_ppm < (bin_of(score_ppm) + 1) * BIN_PPM
