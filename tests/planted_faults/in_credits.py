"""Faults in what users pay, and in what a soft cap makes of it."""

from __future__ import annotations

from planted_faults.fault import Fault

_SCRIPTS = "hotstate/scripts/"
_OPERATIONS = "e2e/test_operations.py::"

FAULTS = [
    Fault(
        "a soft cap denies all ways but one to pay for the lowest tier",
        _SCRIPTS + "reserve.lua",
        "option.tier == options[#options].tier",
        "i == #options",
        (_OPERATIONS + "TestOptions::test_a_soft_cap_spares_every_way_to_pay_for_the_lowest_tier",),
    ),
    Fault(
        "another way to pay is told as a lesser tier",
        _SCRIPTS + "reserve.lua",
        "if option.tier ~= options[chosen].tier then",
        "if true then",
        (_OPERATIONS + "TestOptions::test_another_way_to_pay_is_no_lesser_tier",),
    ),
]
