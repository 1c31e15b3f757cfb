"""Reads what Novita's image API answers: tasks, images and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from workers.providers.errors import (
    AuthOrBilling,
    ContentRefused,
    Dispatched,
    InvalidRequest,
    ModelGone,
    ProviderError,
    ProviderFailed,
    RateLimited,
    TimeoutUnknown,
    error_for_status,
)
from workers.providers.http import is_passing_status, json_object

NAME = "novita"

# What each reason means for a request that makes images, and whether it may have been billed.
_REASONS: Mapping[str, tuple[type[ProviderError], Dispatched]] = {
    "API_NOT_ALLOWED": (AuthOrBilling, "no"),
    "API_NOT_FOUND": (ModelGone, "no"),
    "BILLING_AUTH_FAILED": (AuthOrBilling, "no"),
    "BILLING_BALANCE_NOT_ENOUGH": (AuthOrBilling, "no"),
    "BILLING_FAILED": (ProviderFailed, "no"),
    "CREATE_TASK_FAILED": (ProviderFailed, "no"),
    "FEATURE_NOT_ALLOWED": (AuthOrBilling, "no"),
    "ILLEGAL_IMAGE_CONTENT": (ContentRefused, "unknown"),
    "ILLEGAL_PROMPT": (ContentRefused, "no"),
    "INVALID_API_KEY": (AuthOrBilling, "no"),
    "INVALID_REQUEST_BODY": (InvalidRequest, "no"),
    "MISSING_API_KEY": (AuthOrBilling, "no"),
    "MODEL_NOT_FOUND": (ModelGone, "no"),
    "NEED_REAL_NAME_VERIFY": (AuthOrBilling, "no"),
    "NOT_ENOUGH_BALANCE": (AuthOrBilling, "no"),
    "RATE_LIMIT_EXCEEDED": (RateLimited, "no"),
    "TASK_FAILED": (ProviderFailed, "unknown"),
}
_OF_KEYS = {"INVALID_API_KEY", "MISSING_API_KEY"}
_FINAL = "TASK_FAILED"


def is_passing(response: httpx.Response) -> bool:
    """Say whether the API, not the task, has a fault, so that asking again may help."""
    return is_passing_status(response.status_code) and _reason(response) != _FINAL


def submit_error(response: httpx.Response) -> ProviderError:
    """Return the error for a request that was not accepted."""
    status, reason, request_id = response.status_code, _reason(response), request_id_of(response)
    message = str(json_object(response).get("message") or reason or "No message.")
    found = _REASONS.get(reason)
    general = error_for_status(NAME, status, message, response.headers, request_id)
    if found is None:
        return general
    kind, dispatched = found
    if reason in _OF_KEYS:
        # Its message may repeat a part of the key.
        message = "The key was refused; give the worker a valid one."
    return kind(
        NAME,
        f"{message} ({reason})",
        dispatched=dispatched,
        retry_after_seconds=general.retry_after_seconds,
        request_id=request_id,
    )


def task_error(task: dict[str, Any], request_id: str | None) -> ProviderError:
    """Return the error of a task that has failed. Whether it was billed, Novita does not say."""
    said = str(task.get("reason") or "no reason")
    refused = any(word in said.upper() for word in ("ILLEGAL", "NSFW", "SENSITIVE"))
    kind = ContentRefused if refused else ProviderFailed
    return kind(NAME, f"The task failed: {said}.", dispatched="unknown", request_id=request_id)


def lost_task(response: httpx.Response) -> ProviderError:
    """Return the error of a task that can't be read: what becomes of it is not known.

    Nobody says that it has failed: it may be made still, and is to be submitted never again.
    """
    status, request_id = response.status_code, request_id_of(response)
    kind = AuthOrBilling if status in (401, 403) else TimeoutUnknown
    return kind(
        NAME,
        f"The task can't be read (HTTP {status}).",
        dispatched="unknown",
        request_id=request_id,
    )


def image_urls(body: dict[str, Any]) -> list[str] | None:
    """Return where the images are; None where they can't be read."""
    images = body.get("images")
    images = images if isinstance(images, list) else []
    urls = [image.get("image_url") if isinstance(image, dict) else None for image in images]
    return [str(url) for url in urls] if urls and all(isinstance(u, str) for u in urls) else None


def request_id_of(response: httpx.Response) -> str | None:
    """Return Novita's id of the call, if it gives one."""
    request_id: str | None = response.headers.get("x-request-id")
    return request_id


def _reason(response: httpx.Response) -> str:
    return str(json_object(response).get("reason") or "")
