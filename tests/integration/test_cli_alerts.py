"""`paymaster alerts` on a real authority, with a real receiver."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest

from alarming import FAILED, Alarming, ended, raised
from authorities import TOKEN
from authority.v1.alert_service_pb2 import AlertRule
from receivers import receiving
from support import eventually


@pytest.fixture
def run(started, tmp_path):
    """A function that runs `paymaster alerts`; it returns the exit code and both outputs."""
    environment = {
        **os.environ,
        "PAYMASTER_ADDRESS": f"127.0.0.1:{started[0].port}",
        "PAYMASTER_TOKEN": TOKEN,
    }

    async def ended(*words):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "paymaster", "alerts", *words),
            env=environment,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, told = await process.communicate()
        return process.returncode, printed.decode(), told.decode()

    return ended


@pytest.fixture
def document(run):
    """A function that runs a command and returns its JSON document."""

    async def ended(*words):
        code, printed, told = await run(*words, "--json")
        assert code == 0, told
        return json.loads(printed)

    return ended


async def test_from_a_rule_to_what_was_told(started, run, document, tmp_path):
    running, stubs = started
    with receiving(tmp_path) as receiver:
        made = await document(
            *("rules", "create", "acme", "--webhook", receiver.url, "--log"),
            *("--kind", "idle_holds", "--param", "grant_expiring.days=3", "--display-name", "Ours"),
        )
        rule = made["rule"]
        receiver.secret = rule["channels"][0]["secret"]
        assert rule["kinds"] == ["IDLE_HOLDS"]
        assert rule["params"] == {"grant_expiring.days": 3}
        tested = await document("rules", "test", rule["rule_id"])
        assert [item["state"] for item in tested["deliveries"]] == ["DELIVERED"] * 2
        await raised(running.core, "first")
        alarming = Alarming(stubs)

        async def told():
            found = await alarming.deliveries(rule_id=rule["rule_id"])
            return len(found) == 4 and all(item.HasField("end_time") for item in found)

        await eventually(told)
        listed = await document("list", "--account", "acme", "--open", "--kind", "idle_holds")
        (alert,) = listed["alerts"]
        got = await document("get", alert["alert_id"])
        assert got["alert"]["details"] == {"key": "first"}
        # By the rule, and by the one that logs everything.
        assert {item["type"] for item in got["deliveries"]} == {"WEBHOOK", "LOG"}
        code, printed, _ = await run(
            "deliveries", "--rule", rule["rule_id"], "--state", "delivered"
        )
        assert code == 0
        header, *rows = printed.splitlines()
        assert header.split("\t")[:6] == ["raised", "by", "to", "state", "tries", "status"]
        assert len(rows) == 4
        seen = await document("acknowledge", alert["alert_id"], "--reason", "known")
        assert seen["alert"]["acknowledge_reason"] == "known"
        assert (await document("list", "--open", "--kind", "idle_holds"))["alerts"] == []
        changed = await document("rules", "set", rule["rule_id"], "--all-kinds", "--disabled")
        assert (changed["rule"]["kinds"], changed["rule"]["disabled"]) == ([], True)
        listed = await document("rules", "list", "--tenant", "acme")
        assert [item["channels"][0]["secret"] for item in listed["rules"]] == [""]
        await document("rules", "delete", rule["rule_id"])
        code, _, told_on_error = await run("rules", "get", rule["rule_id"])
        assert code == 5
        assert "alert rule" in told_on_error


async def test_what_was_given_up_is_told_anew(started, run, document, tmp_path):
    with receiving(tmp_path) as receiver:
        made = await document("rules", "create", "acme", "--webhook", receiver.url)
        rule_id = made["rule"]["rule_id"]
        receiver.secret = made["rule"]["channels"][0]["secret"]
        receiver.statuses = [410]
        await raised(started[0].core, "first")
        alarming = Alarming(started[1])
        rule = AlertRule(rule_id=rule_id)
        await ended(alarming, rule, state=FAILED)
        listed = await document("deliveries", "--rule", rule_id, "--state", "failed")
        (delivery,) = listed["deliveries"]
        name = delivery["delivery_id"]
        answer = await document("redeliver", name, "--reason", "it is back")
        assert answer["delivery"]["state"] == "PENDING"
        await ended(alarming, rule)
        code, _, told = await run("redeliver", name)
        assert code == 1
        assert "it is DELIVERED" in told
        assert len(receiver.tries) == 2


async def test_silences(document, run):
    made = await document("silence", "acme", "--kind", "abuse", "--for", "2h", "--reason", "known")
    assert made["silence"]["kind"] == "ABUSE"
    listed = await document("silences")
    assert listed["silences"] == [made["silence"]]
    await document("unsilence", made["silence"]["silence_id"])
    assert (await document("silences"))["silences"] == []
    code, _, told = await run("silence", "acme", "--for", "2y")
    assert code == 2
    assert "span" in told


@pytest.mark.parametrize(
    "words",
    [
        ("rules", "create", "acme", "--param", "days"),
        ("rules", "set", "acme/00000000-0000-7000-8000-000000000000"),
        ("rules", "create", "acme"),
        ("list", "--kind", "other"),
    ],
)
async def test_what_is_wrong_is_a_usage_error(run, words):
    code, _, told = await run(*words)
    assert code == 2
    assert told
