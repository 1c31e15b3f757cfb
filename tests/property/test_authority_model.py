"""The authority answers what a model of the operations says, one operation after the other.

Hypothesis draws a world (accounts, budgets, grants) and a list of operations, time and faults; both
do them, and every answer and every count is compared. `make soak` runs it for long.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_run import Run

ACCOUNTS = st.sampled_from(["user", "user", "team", "tenant"])
UNITS = st.sampled_from(["CREDITS", "CREDITS", "USD", "IMAGES"])
AMOUNTS = st.integers(5, 40)
NUMBERS = st.integers(0, 5)
HOURS = st.sampled_from([1, 5, 20])
LEGS = st.dictionaries(UNITS, AMOUNTS, min_size=1, max_size=2)
# Options of one name are of one tier.
OPTIONS = st.tuples(st.sampled_from(["", "a", "b"]), LEGS)
MODES = st.sampled_from(["NORMAL", "NORMAL", "NORMAL", "BEST_EFFORT", "CHECK_ONLY"])

BUDGET = st.fixed_dictionaries(
    {
        "account": ACCOUNTS,
        "unit": st.sampled_from(["USD", "USD", "IMAGES", "CREDITS", "RESERVATIONS"]),
        "limit": st.integers(60, 200),
        "enforcement": st.sampled_from(["BLOCK", "BLOCK", "BLOCK", "DOWNGRADE", "NOTIFY"]),
        "daily": st.booleans(),
    }
).map(
    # A cap on open reservations is one of the whole life that blocks.
    lambda budget: (
        {**budget, "limit": budget["limit"] // 20, "enforcement": "BLOCK", "daily": False}
        if budget["unit"] == "RESERVATIONS"
        else budget
    )
)
GRANT = st.tuples(
    st.just("grant"),
    ACCOUNTS,
    st.sampled_from(["CREDITS", "CREDITS", "IMAGES"]),
    st.integers(20, 60),
    st.integers(0, 2),
    st.sampled_from([0, 0, 4, 30]),
)
RESERVE = st.tuples(
    st.just("reserve"), ACCOUNTS, st.lists(OPTIONS, min_size=1, max_size=4), HOURS, MODES
)
COMMIT = st.tuples(
    st.just("commit"),
    NUMBERS,
    st.dictionaries(UNITS, st.integers(0, 70), min_size=1, max_size=2),
    st.booleans(),
    st.booleans(),
)
REFUND = st.tuples(st.just("refund"), NUMBERS, st.none() | LEGS)
EXTEND = st.tuples(st.just("extend"), NUMBERS, HOURS, st.dictionaries(UNITS, AMOUNTS, max_size=1))
ANY = st.one_of(
    # What moves money comes more often than the rest.
    *[RESERVE, COMMIT, REFUND] * 3,
    *[EXTEND, GRANT] * 2,
    st.tuples(st.just("release"), NUMBERS),
    st.tuples(
        st.just("adjust"),
        ACCOUNTS,
        st.dictionaries(UNITS, AMOUNTS | AMOUNTS.map(lambda amount: -amount), min_size=1),
    ),
    st.tuples(st.just("void"), NUMBERS),
    st.tuples(st.just("limit"), NUMBERS, st.integers(0, 150)),
    st.tuples(st.just("pass_time"), HOURS),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("lose")),
    st.tuples(st.just("replay"), NUMBERS),
)
# Budgets are first filled, so that what follows has something to push against.
OPERATIONS = st.tuples(
    st.lists(GRANT, min_size=2, max_size=4),
    st.lists(RESERVE, min_size=3, max_size=6),
    st.lists(ANY, min_size=15, max_size=30),
).map(lambda parts: [*parts[0], *parts[1], *parts[2]])
WORLDS = st.tuples(
    st.fixed_dictionaries(
        dict.fromkeys(
            ("tenant", "team", "user"), st.sampled_from(["CAP", "AVAILABLE", "AVAILABLE", "DEBT"])
        )
    ),
    st.lists(
        BUDGET,
        min_size=1,
        max_size=6,
        unique_by=lambda budget: (budget["account"], budget["unit"], budget["daily"]),
    ),
)

# `make soak` asks for more examples, of a seed of its own.
EXAMPLES = int(os.environ.get("PAYMASTER_SOAK_EXAMPLES", "60"))


@pytest.mark.timeout(0)  # a failure is made smaller for as long as it takes
@given(world=WORLDS, operations=OPERATIONS)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="PAYMASTER_SOAK_EXAMPLES" not in os.environ,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
async def test_the_authority_does_what_the_model_does(stubs, core, world, operations):
    async with Run(stubs, core, *world) as run:
        for verb, *arguments in operations:
            await run.do(verb, *arguments)
        await run.do("sweep")
        assert await stubs.differences(run.tenant) == []
