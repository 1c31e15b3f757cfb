"""When what was paid for grants becomes revenue: the ledger's counting against the rule."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authority.domain.prices import earned_micros
from authority.ledger.migrate import migrations

MAX = 2**53 - 1
PRICES = {1: 4_990_000, 2: 1, 3: MAX, 4: 0, 5: 10}
AMOUNTS = {1: 10_000_000, 2: 3, 3: 7, 4: 100, 5: MAX}
USES = st.lists(
    st.tuples(
        st.integers(1, 5),
        st.sampled_from([0, 86_400_000]),
        st.integers(-30, 100).map(lambda part: part / 100),
    ),
    max_size=30,
)


@pytest.fixture
async def grants(database_url):
    """A connection to a database with a grant for each price."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        for migration in migrations():
            await connection.execute(migration.sql)
        await connection.execute("INSERT INTO tenant (tenant) VALUES ('acme')")
        await connection.execute(
            "INSERT INTO account (account, tenant, parent, display_name, time_zone, state,"
            " overage_policy, create_time)"
            " VALUES ('acme', 'acme', 'platform', '', 'UTC', 'ACTIVE', 'AVAILABLE', now())"
        )
        for key, price in PRICES.items():
            await connection.execute(
                "INSERT INTO account_grant (grant_id, grant_key, tenant, account, unit, amount,"
                " priority, effective_ms, expire_ms, recurrence, refund_grace_ms, source,"
                " create_ms, price_micros)"
                " VALUES (%s, %s, 'acme', 'acme', 'CREDITS', %s, 0, 0, 0, 'DAY', 0, '', 0, %s)",
                [f"acme/{key}", key, AMOUNTS[key], price],
            )
        await connection.commit()
        yield connection


async def recognised(connection, rows):
    """Tell the ledger of uses, each (sequence, grant key, start, amount)."""
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * 4
    cursor = await connection.execute(
        "SELECT * FROM recognise_revenue(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])",
        columns,
    )
    return dict(await cursor.fetchall())


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(uses=USES, batches=st.integers(1, 5))
async def test_revenue_is_what_the_rule_says_however_it_is_told(grants, uses, batches):
    rows = [
        (sequence, key, start, int(AMOUNTS[key] * part))
        for sequence, (key, start, part) in enumerate(uses, start=1)
    ]
    expected, used = {}, {}
    for sequence, key, start, amount in rows:
        before = used.get((key, start), 0)
        after = used[key, start] = before + amount
        if amount and PRICES[key]:
            expected[sequence] = earned_micros(PRICES[key], AMOUNTS[key], after) - earned_micros(
                PRICES[key], AMOUNTS[key], before
            )
    found = {}
    size = max(1, len(rows) // batches)
    for begin in range(0, len(rows), size):
        found |= await recognised(grants, rows[begin : begin + size])
    assert found == expected
    await grants.rollback()


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    price=st.integers(1, MAX),
    cuts=st.lists(st.integers(1, 9_999_999), unique=True, max_size=20).map(sorted),
)
async def test_all_revenue_of_a_grant_that_is_used_up_is_its_price(grants, price, cuts):
    await grants.execute("UPDATE account_grant SET price_micros = %s WHERE grant_key = 1", [price])
    ends = [*cuts, AMOUNTS[1]]
    parts = [end - begin for begin, end in zip([0, *cuts], ends, strict=True)]
    found = await recognised(
        grants, [(sequence, 1, 0, part) for sequence, part in enumerate(parts)]
    )
    assert sum(found.values()) == price
    # Debt above the grant earns nothing, and a refund gives back what it earned.
    assert await recognised(grants, [(100, 1, 0, 5)]) == {100: 0}
    back = await recognised(grants, [(101, 1, 0, -5), (102, 1, 0, -AMOUNTS[1])])
    assert back == {101: 0, 102: -price}
    await grants.rollback()


async def test_one_operation_that_uses_several_grants_has_one_revenue(grants):
    found = await recognised(
        grants, [(1, 1, 0, 5_000_000), (1, 2, 0, 3), (1, 4, 0, 3), (2, 4, 0, 1)]
    )
    assert found == {1: 2_495_001}
