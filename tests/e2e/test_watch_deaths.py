"""Who looks is killed in the midst of telling what it has found: another tells the rest, once."""

from __future__ import annotations

import signal

import psycopg

from support import eventually

GRANTS = 400


async def value(url, statement, *parameters):
    """Return the one value that a statement returns."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement, parameters)
        return (await cursor.fetchone())[0]


async def test_what_one_that_is_killed_has_found_is_told_once(
    make_authority_process, ledger_url, redis_url
):
    processes = [await make_authority_process(ledger_url, redis_url) for _ in range(2)]
    stubs = await processes[0].start()
    await processes[1].start()
    await stubs.account("acme")

    def leaders():
        return [process for process in processes if "watch_led" in process.log_file.read_text()]

    (leader,) = await eventually(leaders, 30)
    # They have looked already: the next look is due once nobody knows of the last one.
    async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
        await connection.execute(
            "INSERT INTO account_grant (grant_id, tenant, account, unit, amount, priority,"
            " effective_ms, expire_ms, recurrence, refund_grace_ms, source, create_ms)"
            " SELECT 'acme/' || number, 'acme', 'acme', 'IMAGES', 5, 0, 0,"
            " (extract(epoch FROM now()) * 1000)::bigint + 86400000, 'TOTAL', 0, '', 0"
            " FROM generate_series(1, %s) AS number",
            [GRANTS],
        )
        await connection.execute("DELETE FROM watch_run")
    told = "SELECT count(*) FROM alert WHERE kind = 'GRANT_EXPIRING'"

    async def has_begun():
        return await value(ledger_url, told) > 5

    await eventually(has_begun, 30)
    await leader.send(signal.SIGKILL)
    before = await value(ledger_url, told)
    assert before < GRANTS, "it was killed too late to show anything"

    async def has_ended():
        return await value(ledger_url, told) == GRANTS

    await eventually(has_ended, 40)
    assert len(leaders()) == 2
    keys = "SELECT count(DISTINCT dedup_key) FROM alert WHERE kind = 'GRANT_EXPIRING'"
    assert await value(ledger_url, keys) == GRANTS
    deliveries = (
        "SELECT count(*) = count(DISTINCT alert_id) AND count(*) = %s FROM webhook_delivery"
    )
    assert await value(ledger_url, deliveries, GRANTS), "each by the log, once"
