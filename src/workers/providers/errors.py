"""What can go wrong at a provider, what it costs and whether trying again may help.

    ProviderError        reason             dispatched  retryable
    ├── InvalidRequest   invalid_request    no          no   the provider can't make this
    ├── ContentRefused   content_refused    unknown     no   prompt or picture against its rules
    ├── AuthOrBilling    auth_or_billing    no          no   stop using the provider, and alert
    ├── RateLimited      rate_limited       no          yes  after `retry_after_seconds`
    ├── Unavailable      unavailable        no          yes  after `retry_after_seconds`
    ├── ModelGone        model_gone         no          no   another model may do
    ├── ConnectFailed    connect_failed     no          yes  nothing was sent
    ├── TimeoutUnknown   timeout_unknown    unknown     yes  sent, and no answer came
    └── ProviderFailed   provider_failed    unknown     yes  its fault, or an unusable answer

These are what each class means if nothing more is known; an error may say otherwise, and what it
says itself counts. `dispatched` is whether the provider may have done the work and bill it:

    no       It did not. Release what was held.
    yes      It did. Commit the price of `usage` where the error carries it, else the estimate.
    unknown  Nobody knows. Ask the provider by the remote id if there is one; else commit the
             estimate as presumed spent, and flag it to be reconciled.

`retryable` says that the same request may succeed later. A retry is a new attempt with a hold of
its own, whatever became of this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from generations.pricing import Usage

Dispatched = Literal["no", "yes", "unknown"]

MESSAGE_LENGTH_MAX = 300
RETRY_AFTER_SECONDS_MAX = 3600.0

_UNAUTHORIZED = 401
_SERVICE_UNAVAILABLE = 503
_SERVER_ERRORS = range(500, 600)


class ProviderError(Exception):
    """The root of the tree. `message` is fit for logs and for the requester: it has no secret."""

    reason: ClassVar[str]
    dispatched: Dispatched
    retryable: bool

    def __init__(
        self,
        provider: str,
        message: str,
        *,
        dispatched: Dispatched | None = None,
        retry_after_seconds: float | None = None,
        usage: Usage | None = None,
        request_id: str | None = None,
    ) -> None:
        self.provider = provider
        self.message = _one_line(message)
        super().__init__(f"{provider}: {self.message}")
        if dispatched is not None:
            self.dispatched = dispatched
        self.retry_after_seconds = retry_after_seconds
        self.usage = usage
        self.request_id = request_id


class InvalidRequest(ProviderError):
    """The provider can't make what was asked for."""

    reason = "invalid_request"
    dispatched = "no"
    retryable = False


class ContentRefused(ProviderError):
    """The prompt, or what was made of it, is against the provider's rules."""

    reason = "content_refused"
    dispatched = "unknown"
    retryable = False


class AuthOrBilling(ProviderError):
    """The key, the permission or the money at the provider is missing: a matter for operators."""

    reason = "auth_or_billing"
    dispatched = "no"
    retryable = False


class RateLimited(ProviderError):
    """Too many requests."""

    reason = "rate_limited"
    dispatched = "no"
    retryable = True


class Unavailable(ProviderError):
    """The provider takes no work at the moment."""

    reason = "unavailable"
    dispatched = "no"
    retryable = True


class ModelGone(ProviderError):
    """The provider does not have the model, or not for this key."""

    reason = "model_gone"
    dispatched = "no"
    retryable = False


class ConnectFailed(ProviderError):
    """No connection came about, so that nothing was sent."""

    reason = "connect_failed"
    dispatched = "no"
    retryable = True


class TimeoutUnknown(ProviderError):
    """The request was sent, and then no answer came or the connection broke."""

    reason = "timeout_unknown"
    dispatched = "unknown"
    retryable = True


class ProviderFailed(ProviderError):
    """The provider failed by its own fault, or answered what nobody can use."""

    reason = "provider_failed"
    dispatched = "unknown"
    retryable = True


_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthOrBilling,
    402: AuthOrBilling,
    403: AuthOrBilling,
    404: ModelGone,
    408: TimeoutUnknown,
    409: Unavailable,
    410: ModelGone,
    429: RateLimited,
    503: Unavailable,
}


def error_for_status(
    provider: str, status: int, message: str, headers: Mapping[str, str], request_id: str | None
) -> ProviderError:
    """Return the error for the HTTP status that a request for a generation was answered with.

    Header names are matched as the mapping does it: give one that ignores their case.
    """
    retry_after_seconds = read_retry_after(headers)
    kind = _BY_STATUS.get(status)
    if kind is None:
        kind = InvalidRequest if 400 <= status < 500 else ProviderFailed
    dispatched: Dispatched | None = None
    if status == _SERVICE_UNAVAILABLE and retry_after_seconds is None:
        # Only a server that turns a request away says when to come back; a gateway that has lost
        # its server in the middle of the work says the bare status too.
        dispatched = "unknown"
    if status == _UNAUTHORIZED:
        # Its message may repeat a part of the key.
        message = "The key was refused; give the worker a valid one."
    return kind(
        provider,
        f"{message} (HTTP {status})",
        dispatched=dispatched,
        retry_after_seconds=retry_after_seconds,
        request_id=request_id,
    )


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds after which to try again, at most RETRY_AFTER_SECONDS_MAX; None if unsaid.

    The form with a date is passed over: it would need both clocks to agree.
    """
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(name, "")) / divisor
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return min(seconds, RETRY_AFTER_SECONDS_MAX)
    return None


def _one_line(message: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    return line if len(line) <= MESSAGE_LENGTH_MAX else line[: MESSAGE_LENGTH_MAX - 1] + "…"
