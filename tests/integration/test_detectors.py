"""What is looked for as time passes: found when it is there, told once, and not found when not."""

from __future__ import annotations

import random
from datetime import timedelta

import psycopg
import pytest

from authority.alerting.detectors.base import Look
from authority.alerting.detectors.drift import LedgerDrift
from authority.alerting.detectors.grants import ExpiringGrants
from authority.alerting.detectors.idle_holds import AccountsWithIdleHolds
from authority.alerting.detectors.projections import PassingProjections
from authority.alerting.detectors.provider_errors import FailingProviders
from authority.alerting.detectors.unusual_spend import UnusualSpend
from authority.domain.alert_params import RuleParams
from authority.domain.windows import Window, window_at
from authority.ledger.light_audit import LightAudit
from authority.ledger.past_use import PostgresPastUse
from authority.ledger.watching import PostgresWatch
from authority.usecases.projection import Projections
from watched import PastUse, midday, now_of

DOLLAR = 1_000_000
DAY = timedelta(days=1)
DAY_MS = 86_400_000
WEEK = (100, 110, 120, 100, 90, 30, 20)


@pytest.fixture
async def running(lead, authority):
    return authority[0]


@pytest.fixture
async def store(running):
    return PostgresWatch(running.core.database)


async def found(detector, store, running, *, rules=(), later=timedelta()):
    """Return what a detector finds at a time from now."""
    now_ms = running.core.context.clock.now_ms() + round(later.total_seconds() * 1000)
    look = Look(store, now_ms, tuple(RuleParams(*rule) for rule in rules))
    return [alert async for alert in detector.find(look)]


async def execute(url, statement, *parameters):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement, parameters)
        return await cursor.fetchall() if cursor.description else []


# Grants.


async def test_a_grant_about_to_expire_is_found_once(running, stubs, store):
    await stubs.account("acme")
    await stubs.account("acme/ann")
    now = now_of(running).timestamp()
    await stubs.grant("acme/ann", "USD", 5 * DOLLAR, expire_time=now + 6 * 86_400)
    await stubs.grant("acme", "IMAGES", 7, expire_time=now + 20 * 86_400)
    await stubs.grant("acme", "IMAGES", 3, every="DAY")
    voided = await stubs.grant("acme", "CREDITS", 7, expire_time=now + 86_400)
    await stubs.void_grant(voided.grant_id)
    await stubs.set_budget("acme", 100 * DOLLAR)
    spent = await stubs.reserve("acme/ann", {"USD": 2 * DOLLAR})
    await stubs.commit(spent.reservation.reservation_id, {"USD": 2 * DOLLAR})

    (alert,) = await found(ExpiringGrants(), store, running)
    assert alert.account == "acme/ann"
    assert (alert.details["left"], alert.details["amount"]) == (3 * DOLLAR, 5 * DOLLAR)
    assert "$3.00 of $5.00" in alert.summary
    assert await store.raise_alert(alert)
    assert not await store.raise_alert(alert)
    assert await found(ExpiringGrants(), store, running) == []
    # Two weeks later the other is near too; what has expired by then is late to be told.
    (other,) = await found(ExpiringGrants(), store, running, later=14 * DAY)
    assert other.details["unit"] == "IMAGES"


@pytest.mark.parametrize(
    ("rules", "count"),
    [
        ([("platform", {"grant_expiring.days": 30})], 1),
        ([("acme", {"grant_expiring.days": 30})], 1),
        ([("acme", {"grant_expiring.days": 30}), ("acme/ann", {"grant_expiring.days": 3})], 0),
        ([("other", {"grant_expiring.days": 30})], 0),
        ([("acme", {"grant_expiring.days": 30, "grant_expiring.percent": 90})], 0),
    ],
)
async def test_the_nearest_rule_counts(running, stubs, store, rules, count):
    await stubs.account("acme")
    await stubs.account("acme/ann")
    await stubs.set_budget("acme", 100)
    expire_time = now_of(running).timestamp() + 20 * 86_400
    await stubs.grant("acme/ann", "USD", 10, expire_time=expire_time)
    spent = await stubs.reserve("acme/ann", {"USD": 2})
    await stubs.commit(spent.reservation.reservation_id, {"USD": 2})
    assert len(await found(ExpiringGrants(), store, running, rules=rules)) == count


# Projections.


def projecting(running):
    core = running.core
    past = PostgresPastUse(core.database)
    return PassingProjections(Projections(core.context, past), core.context.policies)


async def month_of_use(running, stubs, ledger_url, *, spent, days=60):
    """Use of a dollar a day for some days, and what was charged this month so far."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 40 * DOLLAR, window="MONTH", name="month")
    now = now_of(running)
    span = window_at(Window.MONTH, "UTC", running.core.context.clock.now_ms())
    # Counted, without an operation that would be a part of the history too.
    await execute(
        ledger_url,
        "INSERT INTO window_total SELECT budget_key, %s, 'USD', 'acme', 0, %s, 0 FROM budget",
        *(span.start_ms, spent),
    )
    use = PastUse()
    for back in range(days):
        if midday(now, back) < now:
            use.add("acme", midday(now, back), DOLLAR)
    await use.write(ledger_url)
    return span


async def test_a_budget_that_will_be_passed_is_found_once(running, stubs, store, ledger_url):
    span = await month_of_use(running, stubs, ledger_url, spent=39 * DOLLAR)
    now_ms = running.core.context.clock.now_ms()
    left = (span.end_ms - now_ms) // DAY_MS
    alerts = await found(projecting(running), store, running)
    if left < 2:  # In the last day of a month a dollar more may not come.
        return
    (alert,) = alerts
    assert alert.details["expected"] >= 40 * DOLLAR
    assert alert.details["lower"] == alert.details["upper"] == alert.details["expected"]
    assert now_ms < alert.details["exhaust_ms"] <= span.end_ms
    assert "month" in alert.summary
    assert await store.raise_alert(alert)
    assert await found(projecting(running), store, running) == []


@pytest.mark.parametrize(
    ("spent", "days", "rules"),
    [
        (10 * DOLLAR, 60, ()),  # 30 days at most are to come, and they cost less than what is left
        (39 * DOLLAR, 10, ()),  # too little is known
        (39 * DOLLAR, 60, [("acme", {"projection.percent": 200})]),
        (40 * DOLLAR, 60, ()),  # it is passed already
    ],
)
async def test_a_budget_that_will_do_is_left_alone(
    running, stubs, store, ledger_url, spent, days, rules
):
    await month_of_use(running, stubs, ledger_url, spent=spent, days=days)
    assert await found(projecting(running), store, running, rules=rules) == []


# Holds.


async def test_an_account_that_holds_and_does_nothing_is_found_once(running, stubs, store):
    await stubs.account("acme")
    await stubs.account("acme/ann")
    await stubs.set_budget("acme", 100 * DOLLAR)
    await stubs.reserve("acme/ann", {"USD": 2 * DOLLAR}, ttl=86_400)
    await stubs.reserve("acme/ann", {"USD": 3 * DOLLAR}, ttl=86_400)
    detector = AccountsWithIdleHolds()
    assert await found(detector, store, running, later=timedelta(minutes=59)) == []
    (alert,) = await found(detector, store, running, later=timedelta(minutes=61))
    assert alert.account == "acme/ann"
    assert alert.details["held_micros"] == 5 * DOLLAR
    (again,) = await found(detector, store, running, later=timedelta(minutes=99))
    assert again.dedup_key == alert.dedup_key
    assert await found(detector, store, running, later=2 * DAY) == [], "they have expired"


async def test_an_account_that_does_something_is_not_idle(running, stubs, store, ledger_url):
    await stubs.account("acme")
    await stubs.set_budget("acme", 100 * DOLLAR)
    await stubs.reserve("acme", {"USD": 2 * DOLLAR}, ttl=86_400)
    later = timedelta(minutes=90)
    assert len(await found(AccountsWithIdleHolds(), store, running, later=later)) == 1
    use = PastUse()
    use.add("acme", now_of(running) + timedelta(minutes=60), 0, outcome="HIT")
    await use.write(ledger_url)
    assert await found(AccountsWithIdleHolds(), store, running, later=later) == []


# Providers.


async def cases(ledger_url, moment, counts):
    """Write what providers were asked, by provider and class of error, '' for what succeeded."""
    use = PastUse()
    for (provider, error), count in counts.items():
        outcome = "FAILED" if error else "SUCCEEDED"
        use.add("acme", moment, 0, count=count, provider=provider, outcome=outcome, error=error)
    await use.write(ledger_url)


async def test_a_provider_that_fails_more_than_it_does_is_found(running, store, ledger_url):
    now = now_of(running)
    await cases(
        ledger_url,
        now,
        {
            ("fal", ""): 30,
            ("fal", "unavailable"): 30,
            ("openai", ""): 30,
            ("openai", "content_refused"): 30,
            ("novita", "unavailable"): 19,
            ("stability", ""): 70,
            ("stability", "unavailable"): 30,
        },
    )
    await cases(ledger_url, now - timedelta(minutes=65), {("openai", "unavailable"): 500})
    week = {("fal", ""): 900, ("stability", ""): 700, ("stability", "unavailable"): 300}
    await cases(ledger_url, now - 2 * DAY, week)
    (alert,) = await found(FailingProviders(), store, running)
    assert alert.details == {
        "provider": "fal",
        "minutes": 30,
        "cases": 60,
        "failed": 30,
        "usual_cases": 900,
        "usual_failed": 0,
    }
    assert "30 of 60 times (50.0 %)" in alert.summary
    rules = [("platform", {"provider_errors.percent": 60})]
    assert await found(FailingProviders(), store, running, rules=rules) == []
    assert await found(FailingProviders(), store, running, later=timedelta(hours=2)) == []


# Spend.


async def quiet_weeks(ledger_url, now, accounts, rng):
    use = PastUse()
    for account in accounts:
        for back in range(1, 70):
            moment = midday(now, back)
            charged = max(0, int(WEEK[moment.weekday()] * DOLLAR * rng.gauss(1, 0.25)))
            use.add(account, moment, charged)
    await use.write(ledger_url)


async def test_unusual_spend_is_found_in_the_account_and_not_in_quiet_ones(
    running, stubs, store, ledger_url
):
    accounts = ["acme", *(f"acme/user-{number}" for number in range(12))]
    for account in accounts:
        await stubs.account(account)
    now = now_of(running)
    await quiet_weeks(ledger_url, now, accounts[1:], random.Random(5))
    use = PastUse()
    usual = WEEK[now.weekday()] * DOLLAR
    at = now.replace(minute=0) if now.hour else now
    for account in accounts[1:]:
        use.add(account, at, usual)
    use.add("acme/user-3", at, 5 * usual)
    await use.write(ledger_url)
    detector = UnusualSpend(PostgresPastUse(running.core.database))
    (alert,) = await found(detector, store, running)
    assert alert.account == "acme/user-3"
    assert alert.details["charged"] == 6 * usual
    assert alert.dedup_key == f"acme/user-3:{now:%Y-%m-%d}"
    rules = [("acme/user-3", {"unusual_spend.micros": 7 * usual})]
    assert await found(detector, store, running, rules=rules) == []


async def test_many_accounts_together_are_a_tenants_unusual_spend(
    running, stubs, store, ledger_url
):
    await stubs.account("acme")
    for number in range(20):
        await stubs.account(f"acme/new-{number}")
    now = now_of(running)
    await quiet_weeks(ledger_url, now, ["acme/new-0"], random.Random(5))
    use = PastUse()
    for number in range(1, 20):
        use.add(f"acme/new-{number}", now, WEEK[now.weekday()] * DOLLAR)
    await use.write(ledger_url)
    (alert,) = await found(UnusualSpend(PostgresPastUse(running.core.database)), store, running)
    assert alert.account == "acme"


async def test_without_a_history_nothing_is_unusual(running, stubs, store, ledger_url):
    await stubs.account("acme")
    now = now_of(running)
    use = PastUse()
    use.add("acme", now, 10**12)
    for week in range(1, 6):
        use.add("acme", midday(now, 7 * week), DOLLAR)
    await use.write(ledger_url)
    assert await found(UnusualSpend(PostgresPastUse(running.core.database)), store, running) == []


# Books.


SPOIL = "UPDATE window_total SET reserved = reserved + 5 WHERE window_start_ms > 0"


async def tenant_with_a_hold(stubs):
    """Make a tenant that has spent and holds something, from a budget and from a grant."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 100 * DOLLAR, name="day")
    await stubs.grant("acme", "USD", 50 * DOLLAR)
    held = await stubs.reserve("acme", {"USD": 2 * DOLLAR})
    await stubs.commit(held.reservation.reservation_id, {"USD": DOLLAR})
    await stubs.reserve("acme", {"USD": 2 * DOLLAR})


@pytest.mark.parametrize("is_light", [False, True])
async def test_books_that_differ_are_found_and_told_once(
    running, stubs, store, ledger_url, is_light
):
    await tenant_with_a_hold(stubs)
    core = running.core
    light = LightAudit(core.database)

    async def whole(tenant, now_ms):
        return [difference[1:] for difference in (await core.audit(tenant)).differences]

    drift = LedgerDrift(light.audit if is_light else whole, core.ledger.opened_tenants)
    assert await found(drift, store, running) == []
    await execute(ledger_url, SPOIL)
    assert await found(drift, store, running) == [], "it was looked at just now"
    (alert,) = await found(drift, store, running, later=timedelta(hours=7))
    assert alert.tenant == "acme"
    assert alert.details["differences"] >= 1
    assert "reserved" in alert.summary
    (again,) = await found(drift, store, running, later=timedelta(hours=14))
    assert again.dedup_key == alert.dedup_key
    (row,) = [run for run in await store.runs() if run.detector == "ledger_drift"]
    assert (row.subject, row.found) == ("acme", again.details["differences"])


async def test_what_the_second_audit_does_not_find_is_no_drift(running, store):
    window, other = (("window_total", f"window {key}", "reserved", "0", "5") for key in (1, 2))
    audits = iter([[window, other], [other], [window], [other], []])

    async def audit(tenant, now_ms):
        return next(audits)

    async def tenants():
        return ["acme"]

    drift = LedgerDrift(audit, tenants)
    (alert,) = await found(drift, store, running)
    assert "window 2" in alert.summary
    assert "window 1" not in alert.summary
    assert await found(drift, store, running, later=timedelta(hours=7)) == []
    assert next(audits) == [], "each was asked for"


async def test_the_light_audit_sees_committed_amounts_and_unbalanced_entries(
    running, stubs, ledger_url
):
    await tenant_with_a_hold(stubs)
    light = LightAudit(running.core.database)
    now_ms = running.core.context.clock.now_ms()
    assert await light.audit("acme", now_ms) == []
    await execute(ledger_url, "UPDATE window_total SET committed = 7 WHERE window_start_ms > 0")
    ((place, _, field, expected, value),) = await light.audit("acme", now_ms)
    assert (place, field, expected, value) == ("window_total", "committed", str(DOLLAR), "7")
    await execute(ledger_url, "UPDATE ledger_posting SET amounts[1] = amounts[1] + 1")
    fields = {field for _, _, field, _, _ in await light.audit("acme", now_ms)}
    assert {"balance", "committed"} <= fields
    ((found_count,),) = await execute(
        ledger_url, "SELECT difference_count FROM audit_run WHERE tenant = 'acme'"
    )
    assert found_count >= len(fields)
