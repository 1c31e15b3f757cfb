"""What is common to all that speaks OpenAI's wire: the client, and what its errors mean."""

from __future__ import annotations

from typing import Any

import httpx2
import openai

from workers.providers.errors import (
    AuthOrBilling,
    ConnectFailed,
    ContentRefused,
    Dispatched,
    ModelGone,
    ProviderError,
    TimeoutUnknown,
    Unavailable,
    error_for_status,
)

CONNECT_SECONDS_MAX = 5
WRITE_SECONDS_MAX = 30

# Codes of errors, and Novita's reasons.
_REFUSED = {"moderation_blocked", "content_policy_violation", "content_filter"}
_NO_MONEY = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "organization_restricted",
}
_GONE = {"model_not_found", "model_decommissioned", "model_terms_required"}
_OUT_OF_SERVICE = {"MODEL_NOT_AVAILABLE"}
_BAD_REQUEST = 400
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


def open_client(key: str, base_url: str, *, read_seconds_max: float) -> openai.AsyncOpenAI:
    """Return a client that sends each request once: a repeated one would be paid for again."""
    return openai.AsyncOpenAI(
        api_key=key,
        base_url=base_url,
        max_retries=0,
        timeout=openai.Timeout(
            read_seconds_max, connect=CONNECT_SECONDS_MAX, write=WRITE_SECONDS_MAX
        ),
    )


def status_error(
    provider: str, error: openai.APIStatusError, *, refused: Dispatched
) -> ProviderError:
    """Return our error for an answer that is none.

    `refused` is whether refused content may have been billed, unless the answer says so itself.
    """
    body: dict[str, Any] = error.body if isinstance(error.body, dict) else {}
    message, request_id = str(body.get("message") or "no message"), error.request_id
    code, reason = str(body.get("code")), str(body.get("reason"))
    if code in _REFUSED:
        dispatched = _stage(body) or refused
        return ContentRefused(provider, message, dispatched=dispatched, request_id=request_id)
    if code in _NO_MONEY:
        # A 429 too, but no waiting helps.
        return AuthOrBilling(provider, message, request_id=request_id)
    if code in _GONE or (error.status_code == _BAD_REQUEST and body.get("param") == "model"):
        return ModelGone(provider, message, request_id=request_id)
    if reason in _OUT_OF_SERVICE:
        return Unavailable(provider, message, request_id=request_id)
    return error_for_status(
        provider, error.status_code, message, error.response.headers, request_id
    )


def connection_error(provider: str, error: openai.APIConnectionError) -> ProviderError:
    """Return our error for an answer that did not come."""
    cause = error.__cause__
    if isinstance(cause, _NEVER_SENT):
        return ConnectFailed(provider, f"No connection: {type(cause).__name__}.")
    return TimeoutUnknown(provider, f"Sent, but no answer: {type(cause or error).__name__}.")


def _stage(body: dict[str, Any]) -> Dispatched | None:
    """Say whether something may have been made before the content was refused."""
    details = body.get("moderation_details")
    stage = details.get("moderation_stage") if isinstance(details, dict) else None
    return {"input": "no", "output": "unknown"}.get(str(stage))  # type: ignore[return-value]
