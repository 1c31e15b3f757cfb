"""Faults in what raises and tells alerts."""

from __future__ import annotations

from planted_faults.fault import Fault

_THRESHOLDS = "e2e/test_thresholds.py::"
_DELIVERIES = "integration/test_deliveries.py::"
_SERVICE = "e2e/test_alert_service.py::"
_REDELIVERY = "integration/test_redelivery.py::"
_RETENTION = "integration/test_alert_retention.py::"
_SCRIPT = "hotstate/scripts/_thresholds.lua"

FAULTS = [
    Fault(
        "a threshold is crossed by passing it alone",
        _SCRIPT,
        "net >= read[at] then",
        "net > read[at] then",
        (_THRESHOLDS + "test_a_commit_that_crosses_says_so_once",),
    ),
    Fault(
        "each commit above a threshold crosses it",
        _SCRIPT,
        "if before < read[at] and",
        "if true and",
        (_THRESHOLDS + "test_many_at_once_cross_each_once",),
    ),
    Fault(
        "what was refunded counts as charged",
        _SCRIPT,
        "local net = counts.c - counts.f",
        "local net = counts.c",
        (_THRESHOLDS + "test_what_a_refund_opens_again_is_not_told_twice",),
    ),
    Fault(
        "an adjustment crosses nothing",
        "hotstate/scripts/adjust.lua",
        "more = crossed(context, charged),",
        "more = nil,",
        (_THRESHOLDS + "test_an_adjustment_crosses_too",),
    ),
    Fault(
        "what is only held makes a denial an exhausted budget",
        "ledger/alerts.sql",
        "+ (item ->> 5)::bigint > (item ->> 1)::bigint",
        "+ (item ->> 5)::bigint > 0",
        (_THRESHOLDS + "test_a_denial_for_other_reasons_does_not",),
    ),
    Fault(
        "what a lowered limit passes is not raised",
        "alerting/thresholds.py",
        "if net >= amount",
        "if net > amount * 1000",
        (_THRESHOLDS + "test_a_lowered_limit_raises_what_is_passed_now",),
    ),
    Fault(
        "an alert is raised again",
        "ledger/alerts.sql",
        "VALUES (%(kind)s, %(dedup_key)s) ON CONFLICT",
        "VALUES (%(kind)s, %(dedup_key)s || gen_random_uuid()) ON CONFLICT",
        (_SERVICE + "test_an_alert_is_raised_once",),
    ),
    Fault(
        "a silence is not kept to",
        "ledger/alerts.sql",
        "WHEN '' THEN NOT raised.silenced AND enabled",
        "WHEN '' THEN enabled",
        (_SERVICE + "test_a_silence_keeps_alerts_from_being_told",),
    ),
    Fault(
        "a tenant sees whom the platform tells",
        "ledger/alerts.sql",
        "SELECT alert_rule.tenant || '/' || gen_random_uuid(), alert_rule.tenant, raised.alert_id",
        "SELECT %(tenant)s || '/' || gen_random_uuid(), %(tenant)s, raised.alert_id",
        (_SERVICE + "test_a_tenant_sees_its_own_and_not_who_else_is_told",),
    ),
    Fault(
        "a secret is shown again",
        "domain/alerts.py",
        'channel if channel.channel in but else replace(channel, secret="")',
        "channel",
        (_SERVICE + "test_a_secret_is_shown_once",),
    ),
    Fault(
        "a number of a channel is used twice",
        "domain/alerts.py",
        "    last = rule.last_channel\n",
        "    last = len(rule.channels) - 1\n",
        (_SERVICE + "test_a_secret_is_shown_once",),
    ),
    Fault(
        "a webhook goes to an address within the network",
        "alerting/addresses.py",
        "if not self._allow_private and not all(map(is_public, addresses)):",
        "if False:",
        (_DELIVERIES + "test_addresses_within_the_network_are_refused",),
    ),
    Fault(
        "an address that hides another one is taken for public",
        "alerting/addresses.py",
        "        if inner is not None:",
        "        if False:",
        (_DELIVERIES + "test_what_is_an_address_of_the_public_internet",),
    ),
    Fault(
        "the signature leaves out the time",
        "alerting/webhooks.py",
        'b".".join((name.encode(), str(unix_seconds).encode(), body))',
        'b".".join((name.encode(), body))',
        (_DELIVERIES + "test_a_webhook_is_signed_and_told_once",),
    ),
    Fault(
        "a try has an id of its own",
        "alerting/webhooks.py",
        "name = uuid_of(delivery.delivery_id)",
        'name = f"{uuid_of(delivery.delivery_id)}-{delivery.attempt_count}"',
        (_DELIVERIES + "test_what_fails_is_tried_again_under_the_same_id",),
    ),
    Fault(
        "two processes take the same delivery",
        "ledger/deliveries.sql",
        "chosen.delivery_id AND state = 'PENDING' AND due_ms <= %(now_ms)s",
        "chosen.delivery_id",
        (_DELIVERIES + "test_of_two_who_take_a_delivery_at_once_one_has_it",),
    ),
    Fault(
        "a receiver that hangs keeps others waiting",
        "ledger/deliveries.sql",
        "FROM open WHERE place <= %(of_channel)s",
        "FROM open WHERE place <= %(of_channel)s + 1000",
        (_DELIVERIES + "test_a_receiver_that_hangs_keeps_nobody_else_waiting",),
    ),
    Fault(
        "what has failed is never given up",
        "domain/deliveries.py",
        "if answer.is_final or due_ms > delivery.begin_ms + GIVE_UP_MS:",
        "if answer.is_final:",
        (_DELIVERIES + "test_what_nobody_has_taken_in_a_day_is_given_up",),
    ),
    Fault(
        "a lease never ends",
        "ledger/deliveries.sql",
        "SET due_ms = %(until_ms)s, lease",
        "SET due_ms = %(until_ms)s + 1000000000, lease",
        (
            "e2e/test_alert_deaths.py::test_who_dies_before_the_answer_comes_tells_it_again_under_the_same_id",
        ),
    ),
    Fault(
        "a denial alone tells nobody",
        "ledger/usage_projection.sql",
        """ OR strpos(line[5], '"limiting":[[') > 0""",
        "",
        (_THRESHOLDS + "test_a_denial_is_told_also_where_nothing_was_charged_beside_it",),
    ),
    Fault(
        "anything is told anew",
        "ledger/alert_store.py",
        "if before.state is not DeliveryState.FAILED:",
        "if False:",
        (
            _REDELIVERY + "test_what_is_open_or_told_is_not",
            _REDELIVERY + "test_of_many_who_ask_at_once_one_is_heard",
        ),
    ),
    Fault(
        "two who ask at once are both heard",
        "ledger/alert_rules.sql",
        "WHERE delivery_id = %(delivery_id)s FOR UPDATE OF webhook_delivery;",
        "WHERE delivery_id = %(delivery_id)s;",
        (_REDELIVERY + "test_of_many_who_ask_at_once_one_is_heard",),
    ),
    Fault(
        "what is told anew is given up by when it was raised",
        "ledger/deliveries.sql",
        "greatest(claimed.create_ms, retry_ms) AS begin_ms",
        "claimed.create_ms AS begin_ms",
        (_REDELIVERY + "test_it_has_another_day_from_the_first_wait_on",),
    ),
    Fault(
        "what is told anew waits as long as before",
        "ledger/deliveries.sql",
        "jsonb_array_length(attempts) - former_attempts AS attempt_count",
        "jsonb_array_length(attempts) AS attempt_count",
        (_REDELIVERY + "test_it_has_another_day_from_the_first_wait_on",),
    ),
    Fault(
        "what a channel that is gone had to tell is told anew",
        "ledger/alert_store.py",
        'if row["account"] is None:',
        "if False:",
        (_REDELIVERY + "test_what_a_channel_that_is_gone_had_to_tell_is_not",),
    ),
    Fault(
        "a tenant has another's deliveries told anew",
        "rpc/access.py",
        '        "delivery_id",\n',
        "",
        (_REDELIVERY + "test_a_tenant_has_its_own_told_anew_alone",),
    ),
    Fault(
        "a case goes with its alert",
        "ledger/alert_retention.sql",
        "DELETE FROM alert USING old WHERE alert.alert_id = old.alert_id RETURNING old.alert_id;",
        """, gone AS (
    DELETE FROM alert USING old WHERE alert.alert_id = old.alert_id RETURNING alert.*
)
DELETE FROM alert_case USING gone
WHERE alert_case.kind = gone.kind AND alert_case.dedup_key = gone.dedup_key RETURNING 1;""",
        (
            _RETENTION + "test_no_kind_of_case_is_told_again",
            _RETENTION + "test_a_threshold_is_told_once_also_after_its_alert_has_gone",
        ),
    ),
    Fault(
        "what is still to be told goes with its alert",
        "ledger/alert_retention.sql",
        "webhook_delivery.alert_id = alert.alert_id",
        "webhook_delivery.alert_id = alert.alert_id AND state <> 'PENDING'",
        (_RETENTION + "test_what_is_still_to_be_told_stays_with_its_alert",),
    ),
    Fault(
        "what is asked to be told anew meanwhile goes",
        "ledger/alert_retention.sql",
        "old.delivery_id AND state <> 'PENDING' RETURNING",
        "old.delivery_id RETURNING",
        (_RETENTION + "test_what_is_asked_to_be_told_anew_meanwhile_stays",),
    ),
    Fault(
        "alerts go before their time",
        "ledger/alert_retention.py",
        '"before": now - self._kept',
        '"before": now - self._kept / 2',
        (_RETENTION + "test_what_was_kept_for_long_enough_goes",),
    ),
]
