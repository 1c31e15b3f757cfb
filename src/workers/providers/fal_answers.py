"""Reads what fal's queue answers: jobs, how far they are, their results, bills and errors.

fal bills no job that ended with a server error, and one that the model rejected (HTTP 422) only if
a runner had worked on it; the header with the billable units tells. A job that was cancelled while
it waited is not billed either; where one had begun, the same header tells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from typing import Any

import httpx
import structlog

from generations.models import Kind
from generations.pricing import Usage
from workers.providers.base import OnProgress
from workers.providers.errors import (
    AuthOrBilling,
    ContentRefused,
    Dispatched,
    InvalidRequest,
    JobCancelled,
    ProviderError,
    ProviderFailed,
    TimeoutUnknown,
    error_for_status,
)
from workers.providers.fal_models import NAME
from workers.providers.http import is_passing_status, json_object

_REFUSED = "content_policy_violation"
_CANCELLED = "client_cancelled"
_SERVER_ERROR = 500
# The models' logs are those of a progress bar, such as " 25%|##5       | 7/28".
_PERCENT = re.compile(r"\b(\d{1,3})%")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What a result says: where the files are that were not withheld as unsafe, and the bill."""

    urls: tuple[str, ...]
    usage: Usage
    request_id: str | None


def request_id_of(response: httpx.Response) -> str | None:
    """Return fal's id of the request, which its support asks for."""
    request_id: str | None = response.headers.get("x-fal-request-id")
    return request_id


def is_passing(response: httpx.Response) -> bool:
    """Say whether the queue, not the job, has a fault, so that asking again may help."""
    return is_passing_status(response.status_code) and not _is_fals_own(response)


def submit_error(response: httpx.Response) -> ProviderError:
    """Return the error for a job that was not accepted."""
    if response.status_code >= _SERVER_ERROR and _is_fals_own(response):
        message = f"{_message(response)} (HTTP {response.status_code})"
        return ProviderFailed(NAME, message, dispatched="no", request_id=request_id_of(response))
    return error_for_status(
        NAME, response.status_code, _message(response), response.headers, request_id_of(response)
    )


def job_error(response: httpx.Response) -> ProviderError:
    """Return the error of a job that was accepted: `response` has its result, or should have."""
    status, request_id = response.status_code, request_id_of(response)
    message = f"{_message(response)} (HTTP {status})"
    if _CANCELLED in _types(response):
        return cancelled(response)
    if status >= _SERVER_ERROR:
        return ProviderFailed(NAME, message, dispatched="no", request_id=request_id)
    if status in (401, 402, 403):
        # The job itself goes on.
        return AuthOrBilling(NAME, f"The job can't be read (HTTP {status}).", dispatched="unknown")
    if status not in (400, 422):
        # Nobody says that it has failed: it may be made still, and is to be submitted never again.
        return TimeoutUnknown(NAME, message, request_id=request_id)
    units = _units(response)
    dispatched: Dispatched = "unknown" if units is None else "yes" if units else "no"
    return (ContentRefused if _REFUSED in _types(response) else InvalidRequest)(
        NAME,
        message,
        dispatched=dispatched,
        usage=Usage(billable_units=units) if units else None,
        request_id=request_id,
    )


def cancelled(response: httpx.Response) -> JobCancelled:
    """Return the error of a job that was stopped, with what it is billed all the same."""
    units = _units(response)
    return JobCancelled(
        NAME,
        "The job was cancelled.",
        dispatched="yes" if units else "no",
        usage=Usage(billable_units=units) if units else None,
        request_id=request_id_of(response),
    )


def report_progress(status: dict[str, Any], on_progress: OnProgress) -> None:
    """Tell how far a job is that has not ended: its place in the queue, or what its logs say."""
    if status.get("status") == "IN_QUEUE":
        ahead = status.get("queue_position")
        on_progress(f"queued behind {ahead}" if type(ahead) is int and ahead else "queued", None)
        return
    logs = status.get("logs")
    said = [str(log.get("message")) for log in logs or () if isinstance(log, dict)]
    percents = [int(found) for line in said for found in _PERCENT.findall(line)]
    on_progress("running", min(percents[-1], 100) if percents else None)


def is_cancelled(status: dict[str, Any]) -> bool:
    """Say whether a job has ended because it was cancelled."""
    return status.get("error_type") == _CANCELLED


def read_job(response: httpx.Response, kind: str) -> Job:
    """Return what the result of a job says. Raises ProviderFailed, with the bill."""
    body, request_id = json_object(response), request_id_of(response)
    if kind == Kind.VIDEO:
        return _read_video(response, body.get("video"))
    images = body.get("images")
    images = images if isinstance(images, list) else []
    usage = Usage(images=len(images) or None, billable_units=_units(response))
    urls = [image.get("url") if isinstance(image, dict) else None for image in images]
    if not urls or not all(isinstance(url, str) for url in urls):
        raise ProviderFailed(
            NAME,
            "The result has no images that can be read.",
            dispatched="yes",
            usage=usage,
            request_id=request_id,
        )
    flags = body.get("has_nsfw_concepts")
    flags = flags if isinstance(flags, list) and len(flags) == len(urls) else [False] * len(urls)
    shown = tuple(str(url) for url, flag in zip(urls, flags, strict=True) if not flag)
    return Job(shown, usage, request_id)


def _read_video(response: httpx.Response, video: object) -> Job:
    usage, request_id = Usage(billable_units=_units(response)), request_id_of(response)
    url = video.get("url") if isinstance(video, dict) else None
    if not isinstance(url, str):
        raise ProviderFailed(
            NAME,
            "The result has no video that can be read.",
            dispatched="yes",
            usage=usage,
            request_id=request_id,
        )
    return Job((url,), usage, request_id)


def _is_fals_own(response: httpx.Response) -> bool:
    """Say whether fal has marked the error as that of a request, rather than a gateway's."""
    if "x-fal-error-type" in response.headers:
        return True
    body = json_object(response)
    return "error_type" in body or isinstance(body.get("detail"), list)


def _units(response: httpx.Response) -> Decimal | None:
    """Return the billable units; None if they are not told, or not in a way to be relied on."""
    text = response.headers.get("x-fal-billable-units")
    if text is None:
        return None
    try:
        units = Decimal(text)
        Usage(billable_units=units)
    except (DecimalException, ValueError):
        _log.warning("billable_units_unreadable", provider=NAME)
        return None
    return units


def _details(response: httpx.Response) -> list[dict[str, Any]]:
    detail = json_object(response).get("detail")
    return (
        [entry for entry in detail if isinstance(entry, dict)] if isinstance(detail, list) else []
    )


def _types(response: httpx.Response) -> set[str]:
    named = {str(entry.get("type")) for entry in _details(response)}
    return named | {str(json_object(response).get("error_type"))}


def _message(response: httpx.Response) -> str:
    """Return what is said about an error, without what fal repeats of the input."""
    detail = json_object(response).get("detail")
    if isinstance(detail, str) and detail:
        return detail
    said = "; ".join(str(entry.get("msg")) for entry in _details(response))
    return said or "No message."
