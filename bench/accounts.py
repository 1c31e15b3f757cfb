"""Makes a population: each of its accounts has a budget, and every tenant a grant."""

from __future__ import annotations

from psycopg import AsyncConnection

from bench.population import Population
from clients import AdminClient, Unit

# So large that nothing is ever denied, and small enough that two of it still are an amount.
_PLENTY = 2**51

_TENANTS = (
    "SELECT %(name)s || lpad(t::text, 5, '0') AS tenant FROM generate_series(0, %(tenants)s - 1) t"
)
_TEAMS = f"""
    SELECT tenant, tenant || '/g' || lpad(g::text, 5, '0') AS team, g
    FROM ({_TENANTS}) tenants, generate_series(0, %(teams)s - 1) g
"""
_USERS = f"""
    SELECT tenant, team, tenant || '/u' || lpad((u * %(teams)s + g)::text, 5, '0') AS account
    FROM ({_TEAMS}) teams, generate_series(0, %(users)s - 1) u
"""
_ACCOUNT = """
    INSERT INTO account
        (account, tenant, parent, display_name, time_zone, state, overage_policy, create_time)
    SELECT {account}, tenant, {parent}, '', 'UTC', 'ACTIVE', 'AVAILABLE', now() FROM ({found}) found
"""
_BUDGET = """
    INSERT INTO budget (
        account, budget, unit, "window", limit_amount, enforcement, create_time, update_time
    )
    SELECT {account}, 'usd', 'USD', '{window}', %(limit)s, 'BLOCK', now(), now()
    FROM ({found}) found
"""
_LEVELS = (
    (_TENANTS, "tenant", "'platform'", "MONTH"),
    (_TEAMS, "team", "tenant", "DAY"),
    (_USERS, "account", "team", "DAY"),
)


async def add_population(connection: AsyncConnection, population: Population) -> None:
    """Write accounts and budgets, as the ledger has them, at once: by RPC a million takes an hour.

    To be done before the tenants are first spoken of to an authority.
    """
    parameters = {
        "name": population.name,
        "tenants": population.tenants,
        "teams": population.teams,
        "users": population.users,
        "limit": _PLENTY,
    }
    await connection.execute(f"INSERT INTO tenant (tenant) {_TENANTS}", parameters)
    for found, account, parent, window in _LEVELS:
        fields = {"found": found, "account": account, "parent": parent, "window": window}
        await connection.execute(_ACCOUNT.format(**fields), parameters)
        await connection.execute(_BUDGET.format(**fields), parameters)
    await connection.execute("ANALYZE tenant, account, budget")


async def add_grants(admin: AdminClient, population: Population) -> None:
    """Grant every tenant dollars, so that each Reserve takes from a grant too."""
    for number in range(population.tenants):
        tenant = population.tenant(number)
        await admin.create_grant(tenant, unit=Unit.USD, amount=_PLENTY)
