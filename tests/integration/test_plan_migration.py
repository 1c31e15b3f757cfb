"""The migration to versions of plans: what plans were before it stays readable."""

from __future__ import annotations

import json

import psycopg
from psycopg.rows import dict_row

from authority.ledger.migrate import migrations

TIME = "2026-11-01T08:00:00+00:00"


def document(plan, version, limit):
    return {
        "plan": plan,
        "budgets": [{"unit": "USD", "window": "DAY", "limit": limit, "enforcement": "BLOCK"}],
        "grants": [],
        "per_request_limits": [{"unit": "USD", "amount": 7}, {"unit": "IMAGES", "amount": 2}],
        "reserves_per_minute": 5,
        "version": version,
        "create_time": TIME,
        "update_time": TIME,
    }


async def test_versions_come_from_the_record_of_changes(database_url):
    async with await psycopg.AsyncConnection.connect(
        database_url, row_factory=dict_row
    ) as connection:
        for migration in migrations()[:14]:
            await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO plan VALUES ('free', %s, '[]', %s, 5, 2, %s, %s), "
            "('none', '[]', '[]', '{}', 0, 1, %s, %s)",
            [
                json.dumps(document("free", 2, 9)["budgets"]),
                json.dumps({"USD": 7, "IMAGES": 2}),
                *[TIME] * 4,
            ],
        )
        changes = [
            *(document("free", version, limit) for version, limit in ((1, 8), (2, 9))),
            {**document("none", 1, 0), "budgets": [], "per_request_limits": []}
            | {"reserves_per_minute": 0},
        ]
        for after in changes:
            await connection.execute(
                "INSERT INTO admin_audit (tenant, account, method, resource_type, resource, actor,"
                " reason, after, change_time) VALUES ('platform', '', 'UpdatePlan', 'plan', %s,"
                " 'ops', 'why', %s, now())",
                [after["plan"], json.dumps(after)],
            )
        for migration in migrations()[14:]:
            await connection.execute(migration.sql)
        cursor = await connection.execute("SELECT * FROM plan_version ORDER BY plan, version")
        kept = await cursor.fetchall()
        cursor = await connection.execute("SELECT * FROM plan ORDER BY plan")
        plans = await cursor.fetchall()
    assert [(row["plan"], row["version"]) for row in kept] == [
        ("free", 1),
        ("free", 2),
        ("none", 1),
    ]
    assert kept[0]["budgets"][0]["limit"] == 8
    assert kept[0]["per_request_limits"] == {"USD": 7, "IMAGES": 2}
    # The present version is kept as it is.
    assert [{name: row[name] for name in plans[0]} for row in kept[1:]] == plans
    assert {row["submissions_per_minute"] for row in plans} == {10}
