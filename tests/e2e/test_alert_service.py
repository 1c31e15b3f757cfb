"""AlertService: rules, silences, acknowledgements, and who may see what."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from alarming import EVERYTHING, Alarming, email, logged, raised, webhook
from authority.domain.alerts import AlertKind
from authority.rpc.pages import make_page_token
from authority.usecases import alerts
from authority.v1 import alert_service_pb2 as messages
from keys import with_key
from refusals import invalid, refused

NEVER = "acme/00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def alarming(stubs):
    """The service, with a tenant that has an account below a team."""
    await stubs.account("acme")
    await stubs.account("acme/team")
    await stubs.account("acme/alice", parent="acme/team")
    await stubs.account("globex")
    return Alarming(stubs)


def after(core, **span):
    """Return a time by the hot store's clock."""
    moment = Timestamp()
    moment.FromMilliseconds(core.context.clock.now_ms())
    moment.FromDatetime(moment.ToDatetime() + timedelta(**span))
    return moment


async def change(alarming, rule, *paths):
    """Change a rule."""
    mask = FieldMask(paths=paths)
    return (await alarming.call("UpdateAlertRule", rule=rule, update_mask=mask)).rule


async def test_an_alert_is_raised_once(alarming, core):
    assert await raised(core, "same", account="acme/alice")
    assert not await raised(core, "same", account="acme/alice")
    assert await raised(core, "same", account="acme/alice", kind=AlertKind.ABUSE)
    listed = await alarming.alerts()
    assert [alert.kind for alert in listed] == [
        messages.ALERT_KIND_ABUSE,
        messages.ALERT_KIND_IDLE_HOLDS,
    ]
    alert = listed[1]
    assert alert.account == "acme/alice"
    assert alert.summary == "It is same."
    assert dict(alert.details) == {"key": "same"}
    assert alert.alert_id.startswith("acme/")
    assert (await alarming.call("GetAlert", alert_id=alert.alert_id)).alert == alert


async def test_alerts_are_found_by_place_kind_time_and_page(alarming, core):
    for number, account in enumerate(["acme", "acme/team", "acme/alice", "globex", "platform"]):
        await raised(core, str(number), account=account, kind=list(AlertKind)[number])
    whose = lambda alerts: [alert.account for alert in alerts]  # noqa: E731
    assert whose(await alarming.alerts(account="acme/team")) == ["acme/alice", "acme/team"]
    assert whose(await alarming.alerts(tenant="acme")) == ["acme/alice", "acme/team", "acme"]
    assert len(await alarming.alerts(account="platform")) == 5
    assert whose(await alarming.alerts(kinds=["ALERT_KIND_GRANT_EXPIRING"])) == ["acme/team"]
    assert await alarming.alerts(start_time=after(core, seconds=60)) == []
    assert len(await alarming.alerts(end_time=after(core, seconds=60))) == 5
    pages, token = [], ""
    while True:
        page = await alarming.call("ListAlerts", page_size=2, page_token=token)
        pages.append(whose(page.alerts))
        token = page.next_page_token
        if not token:
            break
    assert pages == [["platform", "globex"], ["acme/alice", "acme/team"], ["acme"]]


async def test_an_acknowledgement_stands(alarming, core, stubs):
    await raised(core, "one")
    (alert,) = await alarming.alerts(unacknowledged=True)
    first = await alarming.call("AcknowledgeAlert", alert_id=alert.alert_id, reason="on it")
    assert first.alert.acknowledge_reason == "on it"
    assert first.alert.acknowledge_actor == "root token (root)"
    again = await alarming.call("AcknowledgeAlert", alert_id=alert.alert_id, reason="me too")
    assert again.alert == first.alert
    assert await alarming.alerts(unacknowledged=True) == []
    assert len(await alarming.alerts()) == 1


async def test_a_rule_is_for_all_below_its_account(alarming, core):
    rule = await alarming.rule("acme/team", channels=[logged()])
    for account in ("acme", "acme/team", "acme/alice", "globex"):
        await raised(core, account, account=account)
    told = await alarming.deliveries(rule_id=rule.rule_id)
    ids = {alert.alert_id: alert.account for alert in await alarming.alerts()}
    assert {ids[item.alert_id] for item in told} == {"acme/team", "acme/alice"}
    # The one that everything is logged by.
    assert len(await alarming.deliveries(rule_id=EVERYTHING)) == 4


async def test_a_rule_is_for_its_kinds_and_while_it_is_enabled(alarming, core):
    rule = await alarming.rule(channels=[logged()], kinds=["ALERT_KIND_ABUSE"])
    await raised(core, "1", kind=AlertKind.ABUSE)
    await raised(core, "2", kind=AlertKind.LEDGER_DRIFT)
    rule.disabled = True
    assert (await change(alarming, rule, "disabled")).disabled
    await raised(core, "3", kind=AlertKind.ABUSE)
    assert len(await alarming.deliveries(rule_id=rule.rule_id)) == 1


async def test_a_secret_is_shown_once(alarming, authority_settings, stubs):
    rule = await alarming.rule(channels=[webhook("https://example.com/a"), logged()])
    secret = rule.channels[0].secret
    assert secret.startswith("whsec_")
    assert len(secret) == len("whsec_") + 44
    assert [channel.channel for channel in rule.channels] == [1, 2]
    shown = (await alarming.call("GetAlertRule", rule_id=rule.rule_id)).rule
    listed = (await alarming.call("ListAlertRules", tenant="acme")).rules
    assert [channel.secret for channel in (*shown.channels, *listed[0].channels)] == [""] * 4
    # One is kept with its secret, one goes, one is new: it gets a number that none had.
    shown.channels.pop()
    shown.channels.append(webhook("https://example.com/b"))
    changed = await change(alarming, shown, "channels")
    assert [channel.channel for channel in changed.channels] == [1, 3]
    assert changed.channels[0].secret == ""
    assert changed.channels[1].secret not in {"", secret}


async def test_no_secret_gets_into_the_record_of_changes(alarming, core):
    rule = await alarming.rule(channels=[webhook("https://example.com/a")])
    await change(
        alarming, messages.AlertRule(rule_id=rule.rule_id, display_name="x"), "display_name"
    )
    await alarming.call("DeleteAlertRule", rule_id=rule.rule_id, reason="enough")
    rows = await core.database.rows(
        "SELECT method, reason, before::text AS before, after::text AS after FROM admin_audit"
        " WHERE resource = %(id)s ORDER BY change_number",
        {"id": rule.rule_id},
    )
    assert [row["method"] for row in rows] == [
        "CreateAlertRule",
        "UpdateAlertRule",
        "DeleteAlertRule",
    ]
    assert rows[2]["reason"] == "enough"
    secret = rule.channels[0].secret
    assert not any(secret in f"{row['before']}{row['after']}" for row in rows)


async def test_what_a_removed_rule_has_still_to_tell_is_given_up(alarming, core):
    rule = await alarming.rule(channels=[webhook("https://localhost.invalid/")])
    await raised(core, "1")
    gone = await alarming.call("DeleteAlertRule", rule_id=rule.rule_id)
    assert gone.given_up_count == 1
    (delivery,) = await alarming.deliveries(rule_id=rule.rule_id)
    assert delivery.state == messages.ALERT_DELIVERY_STATE_FAILED
    assert (await refused(alarming.call("GetAlertRule", rule_id=rule.rule_id))).code == "NOT_FOUND"


async def test_a_silence_keeps_alerts_from_being_told(alarming, core):
    rule = await alarming.rule(channels=[logged()])
    silence = (
        await alarming.call(
            "SilenceAlerts",
            account="acme/team",
            kind="ALERT_KIND_ABUSE",
            end_time=after(core, hours=1),
            reason="known",
        )
    ).silence
    assert silence.actor == "root token (root)"
    await raised(core, "1", account="acme/alice", kind=AlertKind.ABUSE)
    await raised(core, "2", account="acme/alice", kind=AlertKind.LEDGER_DRIFT)
    await raised(core, "3", account="acme", kind=AlertKind.ABUSE)
    assert [alert.silenced for alert in await alarming.alerts()] == [False, False, True]
    assert len(await alarming.deliveries(rule_id=rule.rule_id)) == 2
    assert list((await alarming.call("ListSilences", tenant="acme")).silences) == [silence]
    ended = (await alarming.call("EndSilence", silence_id=silence.silence_id)).silence
    assert ended.end_time.ToDatetime() < silence.end_time.ToDatetime()
    assert not (await alarming.call("ListSilences")).silences
    again = (await alarming.call("EndSilence", silence_id=silence.silence_id)).silence
    assert again == ended
    await raised(core, "4", account="acme/alice", kind=AlertKind.ABUSE)
    assert len(await alarming.deliveries(rule_id=rule.rule_id)) == 3


async def test_a_silence_ends_by_the_hot_stores_clock(alarming, core):
    await alarming.call("SilenceAlerts", account="platform", end_time=after(core, minutes=5))
    await raised(core, "1", account="globex")
    core.hot.clock.offset_ms += 301_000
    await raised(core, "2", account="globex")
    assert [alert.silenced for alert in await alarming.alerts()] == [False, True]


async def test_params_alone_make_a_rule(alarming):
    rule = await alarming.rule(params={"grant_expiring.days": 30})
    assert dict(rule.params) == {"grant_expiring.days": 30}
    rule.params["grant_expiring.days"] = 3
    assert dict((await change(alarming, rule, "params")).params) == {"grant_expiring.days": 3}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, ["rule.channels"]),
        ({"account": "Acme!"}, ["rule.account", "rule.channels"]),
        ({"channels": [webhook("")]}, ["rule.channels[0].url"]),
        ({"channels": [webhook("http://example.com")]}, ["rule.channels[0].url"]),
        ({"channels": [webhook("ftp://example.com")]}, ["rule.channels[0].url"]),
        ({"channels": [webhook("https://u:p@example.com")]}, ["rule.channels[0].url"]),
        ({"channels": [webhook("https://example.com:99999")]}, ["rule.channels[0].url"]),
        ({"channels": [webhook("https://[::1")]}, ["rule.channels[0].url"]),
        ({"channels": [webhook("https://example.com/\n")]}, ["rule.channels[0].url"]),
        ({"channels": [webhook("https://example.com/" + "x" * 2_100)]}, ["rule.channels[0].url"]),
        ({"channels": [logged(), logged()]}, ["rule.channels[1]"]),
        ({"channels": [logged()] * 9}, ["rule.channels"]),
        (
            {"channels": [messages.AlertChannel()]},
            ["rule.channels[0].type", "rule.channels[0].url"],
        ),
        ({"channels": [email()]}, ["rule.channels[0].addresses"]),
        ({"channels": [email("nobody")]}, ["rule.channels[0].addresses[0]"]),
        ({"channels": [email("a@b.com\nBcc: c@d.com")]}, ["rule.channels[0].addresses[0]"]),
        ({"channels": [email("ops@example.com")]}, ["rule.channels[0].type"]),
        ({"channels": [logged()], "kinds": [99]}, ["rule.kinds[0]"]),
        ({"channels": [logged()], "kinds": [0]}, ["rule.kinds[0]"]),
        ({"channels": [logged()], "display_name": "x" * 129}, ["rule.display_name"]),
        ({"params": {"no_such.thing": 1}}, ["rule.params['no_such.thing']"]),
        ({"params": {"x" * 70_000: 1}}, ["rule.params['" + "x" * 40 + "']"]),
        ({"params": {"grant_expiring.days": 0}}, ["rule.params['grant_expiring.days']"]),
    ],
)
async def test_each_wrong_field_of_a_rule_is_named(alarming, fields, wrong):
    assert await invalid(alarming.rule(**fields)) == wrong


async def test_other_wrong_fields_are_named(alarming, core):
    assert await invalid(alarming.alerts(kinds=[77])) == ["kinds[0]"]
    assert await invalid(alarming.call("GetAlert", alert_id="acme/x")) == ["alert_id"]
    assert await invalid(alarming.call("TestAlertRule", rule_id="")) == ["rule_id"]
    assert await invalid(alarming.call("EndSilence", silence_id="x")) == ["silence_id"]
    assert await invalid(alarming.deliveries(state=9, alert_id="x")) == ["state", "alert_id"]
    late = after(core, days=400)
    call = alarming.call("SilenceAlerts", account="acme", end_time=late)
    assert await invalid(call) == ["end_time"]
    assert await invalid(alarming.call("SilenceAlerts", account="acme")) == ["end_time"]
    wrong = await invalid(alarming.call("UpdateAlertRule", rule=messages.AlertRule()))
    assert wrong == ["rule.rule_id", "update_mask"]


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GetAlert", {"alert_id": NEVER}),
        ("AcknowledgeAlert", {"alert_id": NEVER}),
        ("GetAlertRule", {"rule_id": NEVER}),
        ("DeleteAlertRule", {"rule_id": NEVER}),
        ("TestAlertRule", {"rule_id": NEVER}),
        ("EndSilence", {"silence_id": NEVER}),
        ("ListAlerts", {"account": "acme/nobody"}),
    ],
)
async def test_what_is_not_there_is_not_found(alarming, method, fields):
    assert (await refused(alarming.call(method, **fields))).code == "NOT_FOUND"


async def test_a_rule_for_nobody_is_not_found(alarming):
    assert (await refused(alarming.rule("acme/nobody", channels=[logged()]))).code == "NOT_FOUND"


async def test_a_tenant_sees_its_own_and_not_who_else_is_told(alarming, core, stubs):
    everything = (await alarming.call("GetAlertRule", rule_id=EVERYTHING)).rule
    assert everything.account == "platform"
    await raised(core, "1", account="acme")
    await raised(core, "2", account="globex")
    await raised(core, "3", account="platform")
    globex = Alarming(await with_key(stubs, "globex"))
    assert [alert.account for alert in await globex.alerts()] == ["globex"]
    rule = await globex.rule("globex", channels=[logged()])
    assert [item.rule_id for item in (await globex.call("ListAlertRules")).rules] == [rule.rule_id]
    # That the platform is told of it is none of the tenant's business.
    assert await globex.deliveries() == []
    (own,) = await globex.alerts()
    assert await globex.deliveries(alert_id=own.alert_id) == []
    for call in (
        globex.call("GetAlertRule", rule_id=EVERYTHING),
        globex.call("ListAlerts", account="acme"),
        globex.call("ListAlerts", tenant="platform"),
        globex.rule("platform", channels=[logged()]),
        globex.call("SilenceAlerts", account="platform", end_time=after(core, hours=1)),
    ):
        assert (await refused(call)).code == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("moment", "codes"), [("9" * 18, []), ("9" * 19, ["page_token"]), ("-1", ["page_token"])]
)
async def test_a_token_of_another_maker(alarming, moment, codes):
    """Tokens are not signed: what they say is looked at as if anybody had written it."""
    scope = ["alerts", "acme", "", "", "False", "0", "0"]
    token = make_page_token(scope, [moment, "acme/x"])
    listed = alarming.call("ListAlerts", tenant="acme", page_token=token)
    if codes:
        assert await invalid(listed) == codes
    else:
        assert not (await listed).alerts


async def test_a_list_of_kinds_has_an_end(alarming):
    kinds = [messages.ALERT_KIND_ABUSE] * 10_000
    assert await invalid(alarming.call("ListAlerts", kinds=kinds)) == ["kinds"]


async def test_a_tenant_has_no_rules_without_end(alarming, monkeypatch):
    monkeypatch.setattr(alerts, "RULES_MAX", 2)
    rules = [await alarming.rule(channels=[logged()]) for _ in range(2)]
    assert await invalid(alarming.rule(channels=[logged()])) == ["rule.account"]
    await alarming.rule("globex", channels=[logged()])
    await alarming.call("DeleteAlertRule", rule_id=rules[0].rule_id)
    await alarming.rule(channels=[logged()])
