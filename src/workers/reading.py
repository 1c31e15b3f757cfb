"""What the rows of Postgres say, as the types of workers/rows.py."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from psycopg.rows import DictRow

from generations.requests import stored_request
from generations.settings import Priority
from similarity.stages import Reuse
from workers.rows import Attempt, AttemptState, Claim, Downgrade, Failure, Option, Wish
from workers.steering import Steering


def read_claim(row: DictRow, attempts: Sequence[DictRow]) -> Claim:
    """Return the claim on a generation that has just been claimed."""
    deadline, lifetime = None, None
    if row["deadline_time"] is not None:
        deadline = asyncio.get_running_loop().time() + row["deadline_s"]
        lifetime = row["deadline_time"] - row["create_time"]
    steering = Steering(deadline)
    if row["cancel_time"] is not None:
        steering.cancel()
    return Claim(
        row["generation_id"],
        row["fence"],
        stored_request(row),
        row["create_time"],
        row["crash_count"],
        tuple(read_attempt(attempt) for attempt in attempts),
        forgiven_count=row["forgiven_count"],
        is_anew=row["parent_id"] is not None,
        leads=row["join_key"] is not None,
        wish=_read_wish(row),
        priority=Priority(row["priority"]),
        lifetime=lifetime,
        steering=steering,
    )


def read_attempt(row: DictRow) -> Attempt:
    """Return an attempt."""
    return Attempt(
        number=row["attempt"],
        state=AttemptState(row["state"]),
        options=tuple(Option(**option) for option in row["options"]),
        option_index=row["option_index"],
        reservation_id=row["reservation_id"] or "",
        remote_id=row["remote_id"] or "",
        dispatch_age_s=row["dispatch_age_s"] or 0.0,
        actual_micros=row["actual_micros"],
        actual_images=row["actual_images"],
        presumed_spent=row["presumed_spent"],
        failure=_read_failure(row),
        downgrade=Downgrade(row["downgrade_reason"], row["downgrade_budget"]),
        usage=row["usage"] or {},
    )


def _read_wish(row: DictRow) -> Wish:
    context = row["context"]
    return Wish(
        Reuse(row["reuse"]),
        row["accept_entry_id"] or "",
        context and {name: tuple(values) for name, values in context.items()},
    )


def _read_failure(row: DictRow) -> Failure | None:
    if not row["error_reason"]:
        return None
    return Failure(
        row["error_reason"],
        row["error_message"],
        None if row["retry_time"] is None else max(0.0, row["retry_s"]),
        row["elsewhere"],
        row["error_class"],
        row["error_body"],
        row["request_id"],
    )
