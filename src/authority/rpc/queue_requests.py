"""Reads what operators ask for."""

from __future__ import annotations

import re
from datetime import timedelta

from authority.domain.ids import is_owned_id
from authority.domain.jobs import JOBS_MAX, JobFilter, JobSelection, JobState
from authority.rpc.generation_requests import read_kind
from authority.rpc.requests import Reader, enum_name
from authority.v1 import queue_service_pb2 as messages
from generations.models import Kind
from generations.queue_control import (
    EVERY_ACCOUNT,
    LIMIT_MAX,
    Limit,
    LimitName,
    limit_field,
    pause_target,
)

_WORD_LENGTH_MAX = 128
_SECONDS_MAX = 10 * 365 * 86_400
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def read_generation_id(reader: Reader, generation_id: str, field: str = "generation_id") -> str:
    """Read a generation's id."""
    if not is_owned_id(generation_id):
        reader.wrong(field, "must be the id that SubmitGeneration answered: `tenant/uuid`")
    return generation_id


def read_tenant(reader: Reader, tenant: str) -> str:
    """Read a tenant; '' for all."""
    return reader.tenant(tenant) if tenant else ""


def read_filter(
    reader: Reader, wanted: messages.JobFilter, tenant: str, field: str = "filter"
) -> JobFilter:
    """Read which jobs are meant."""
    state = enum_name(messages.JobState, wanted.state)
    if wanted.account:
        reader.account(wanted.account, f"{field}.account")
    if wanted.provider and not _PROVIDER.fullmatch(wanted.provider):
        reader.wrong(f"{field}.provider", "must be the name of a provider, such as `openai`")
    return JobFilter(
        tenant=read_tenant(reader, tenant),
        kind=read_kind(reader, wanted.kind) or "",
        state=reader.word(f"{field}.state", "JOB_STATE", state, JobState, None)
        if wanted.state
        else None,
        provider=wanted.provider,
        account=wanted.account,
        error_reason=reader.text(f"{field}.error_reason", wanted.error_reason, _WORD_LENGTH_MAX),
        older_than=_read_older_than(reader, wanted, field),
    )


def read_selection(reader: Reader, selection: messages.JobSelection, tenant: str) -> JobSelection:
    """Read which jobs to change."""
    ids = tuple(selection.generation_ids)
    if len(ids) > JOBS_MAX:
        reader.wrong("selection.generation_ids", f"must have at most {JOBS_MAX}, not {len(ids)}")
    for index, generation_id in enumerate(ids[:JOBS_MAX]):
        read_generation_id(reader, generation_id, f"selection.generation_ids[{index}]")
        if tenant and not generation_id.startswith(f"{tenant}/"):
            reader.wrong(f"selection.generation_ids[{index}]", "must be of the tenant named")
    if bool(ids) == selection.HasField("filter"):
        reader.wrong(
            "selection", "must have ids or a filter; a filter with nothing set means every job"
        )
    wanted = read_filter(reader, selection.filter, tenant, "selection.filter")
    return JobSelection(ids, wanted)


def read_target(reader: Reader, target: str) -> str:
    """Read what to pause or to resume."""
    try:
        return pause_target(target)
    except ValueError:
        reader.wrong("target", f"must be one of {', '.join(Kind)}, `all`, or `provider:NAME`")
        return target


def read_limit(reader: Reader, limit: messages.Limit) -> Limit:
    """Read a limit to be set."""
    name = read_limit_name(reader, limit.subject, limit.name, "limit.")
    if not 0 <= limit.value <= LIMIT_MAX:
        reader.wrong("limit.value", f"must be 0, which is no limit, to {LIMIT_MAX}")
    return Limit(limit.subject, name, limit.value)


def read_limit_name(reader: Reader, subject: str, name: str, path: str = "") -> LimitName:
    """Read which limit of what is meant."""
    try:
        read = LimitName(name)
    except ValueError:
        reader.wrong(f"{path}name", f"must be one of {', '.join(LimitName)}")
        return LimitName.CONCURRENCY
    try:
        limit_field(subject, read)
    except ValueError:
        reader.wrong(
            f"{path}subject",
            "must be `provider:NAME`, or for concurrency `account:ID` or `account:*`",
        )
    else:
        _, _, account = subject.partition("account:")
        if account not in {"", EVERY_ACCOUNT}:
            reader.account(account, f"{path}subject")
    return read


def _read_older_than(reader: Reader, wanted: messages.JobFilter, field: str) -> timedelta | None:
    if not wanted.HasField("older_than"):
        return None
    seconds = wanted.older_than.seconds
    if not 0 <= seconds <= _SECONDS_MAX or not 0 <= wanted.older_than.nanos < 1_000_000_000:
        reader.wrong(f"{field}.older_than", "must be from 0 seconds to 10 years")
        return None
    return timedelta(seconds=seconds, microseconds=wanted.older_than.nanos // 1000)
