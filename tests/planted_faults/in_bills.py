"""Faults in reconciliation, and in the usage log as a file."""

from __future__ import annotations

from planted_faults.fault import Fault

_BILLS = "e2e/test_bills.py::"
_ADJUSTMENTS = "e2e/test_bill_adjustments.py::"
_EXPORT = "e2e/test_usage_export.py::"

FAULTS = [
    Fault(
        "the first bill of a day counts, not the latest",
        "ledger/bills.sql",
        "ORDER BY provider, source, day, bill_number DESC",
        "ORDER BY provider, source, day, bill_number ASC",
        (_BILLS + "test_a_later_bill_takes_the_days_that_it_covers",),
    ),
    Fault(
        "each line is rounded to a micro",
        "ledger/bills.sql",
        "round(sum(bill_line.billed_usd) * 1000000)",
        "sum(round(bill_line.billed_usd * 1000000))",
        (_BILLS + "test_less_than_a_micro_is_not_lost",),
    ),
    Fault(
        "a bill that was withdrawn counts",
        "ledger/bills.sql",
        "WHERE withdraw_time IS NULL AND start_day <= %(end_day)s",
        "WHERE start_day <= %(end_day)s",
        (_BILLS + "test_a_later_bill_takes_the_days_that_it_covers",),
    ),
    Fault(
        "the bill is matched with the last presumed attempts first",
        "ledger/bills.sql",
        "ORDER BY call_time, generation_id, attempt), 0",
        "ORDER BY call_time DESC, generation_id, attempt), 0",
        (_ADJUSTMENTS + "test_what_was_not_billed_is_given_back",),
    ),
    Fault(
        "what is adjusted is not compared",
        "domain/bills.py",
        "return self.billed - self.booked - self.adjusted if self.covered else 0",
        "return self.billed - self.booked if self.covered else 0",
        (_ADJUSTMENTS + "test_what_was_billed_beyond_is_shared_out_by_what_is_booked",),
    ),
    Fault(
        "what divisions leave over is lost",
        "domain/bills.py",
        "return {name: sign * (part + (name in first)) for name",
        "return {name: sign * part for name",
        (_ADJUSTMENTS + "test_what_was_billed_beyond_is_shared_out_by_what_is_booked",),
    ),
    Fault(
        "two that adjust a day do not take turns",
        "ledger/bill_adjustments.py",
        'f"day.{request.day}.{request.provider}.{request.model}"',
        'f"day.{request.idempotency_key}"',
        (_ADJUSTMENTS + "test_two_at_once_adjust_once",),
    ),
    Fault(
        "each try has keys of its own",
        "usecases/bills.py",
        'return f"{BILL_PREFIX}{adjustment.adjustment_id}/{part.position}/{verb}"',
        'return f"{BILL_PREFIX}{new_id()}/{part.position}/{verb}"',
        (
            _ADJUSTMENTS + "test_whoever_dies_is_finished_for_once",
            "e2e/test_bill_deaths.py",
        ),
    ),
    Fault(
        "a bad line is passed over",
        "usecases/bills.py",
        "    if wrong:\n        raise InvalidRequest(wrong)\n    if start is None",
        "    if start is None",
        (_BILLS + "test_a_bad_file_is_told_by_line_and_column_and_nothing_of_it_is_kept",),
    ),
    Fault(
        "an export that goes on repeats an event",
        "ledger/usage_export.py",
        '"(tenant, event_time, sequence) > (%(after_tenant)s',
        '"(tenant, event_time, sequence) >= (%(after_tenant)s',
        (_EXPORT + "test_an_export_goes_on_where_it_broke_off",),
    ),
    Fault(
        "an export has what comes behind what is not there yet",
        "usecases/usage_export.py",
        "known = await exporter.complete_until(tenant) or context.now()",
        "known = context.now()",
        (_EXPORT + "test_what_the_log_does_not_have_yet_is_left_out_whole",),
    ),
    Fault(
        "what is billed has refunds in it",
        "ledger/usage_export.sql",
        'trim_scale((event.charged_micros - event.refunded_micros) * 0.000001) AS "BilledCost"',
        'trim_scale(event.charged_micros * 0.000001) AS "BilledCost"',
        (_EXPORT + "test_focus_has_its_columns_and_its_sums",),
    ),
]
