"""What can go wrong at a provider, what it costs and whether trying again may help.

    ProviderError        reason            dispatched  retry    breaker
    ├── InvalidRequest   invalid_request   no          no       ignores  the provider can't make it
    ├── ContentRefused   content_refused   unknown     no       ignores  against the rules
    ├── AuthOrBilling    auth_or_billing   no          no       opens    key or money is missing
    ├── RateLimited      rate_limited      no          told     ignores  too many requests
    ├── Unavailable      unavailable       no          told     counts   takes no work now
    ├── ModelLoading     model_loading     no          told     ignores  makes itself ready
    ├── ModelGone        model_gone        no          no       ignores  another model may do
    ├── ConnectFailed    connect_failed    no          backoff  counts   nothing was sent
    ├── TimeoutUnknown   timeout_unknown   unknown     backoff  counts   sent, and no answer came
    ├── ProviderFailed   provider_failed   unknown     backoff  counts   its fault, or no sense
    └── JobCancelled     job_cancelled     no          no       ignores  it was asked to stop

These are what each class means if nothing more is known; an error may say otherwise of its
`dispatched`, and what it says itself counts. `dispatched` is whether the provider may have done the
work and bill it:

    no       It did not. Release what was held.
    yes      It did. Commit the price of `usage` where the error carries it, else the estimate.
             With `usage_estimated` the usage is ours, by what came: flag it to be reconciled.
    unknown  Nobody knows. Ask the provider by the remote id if there is one; else commit the
             estimate as presumed spent, or the price of `usage`, which is what was asked for at
             most, and flag it to be reconciled.

`retry` is whether and when the same request may succeed:

    no       Never.
    told     After `retry_after_seconds`; where the provider has not said it, as backoff.
    backoff  After a time that grows with every attempt.

A retry is a new attempt with a hold of its own, whatever became of this one.

`breaker` is what the error says about the provider to the circuit breaker in front of it:

    counts   It has failed. Enough of these in a row, and it is left alone for a while.
    opens    It is of no use until somebody does something: leave it alone at once, and alert.
    ignores  Nothing: the request or the model has the fault, or it is only to be slower.

This is the one table; docs/providers.md shows it too, and tests see that both are true.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from generations.pricing import Usage

Dispatched = Literal["no", "yes", "unknown"]
Retry = Literal["no", "told", "backoff"]
Breaker = Literal["counts", "opens", "ignores"]

MESSAGE_LENGTH_MAX = 300
RETRY_AFTER_SECONDS_MAX = 3600.0

_UNAUTHORIZED = 401
_SERVICE_UNAVAILABLE = 503
_SERVER_ERRORS = range(500, 600)


class ProviderError(Exception):
    """The root of the tree. `message` is fit for logs and for the requester: it has no secret."""

    reason: ClassVar[str]
    dispatched: Dispatched
    retry: ClassVar[Retry]
    breaker: ClassVar[Breaker]

    def __init__(
        self,
        provider: str,
        message: str,
        *,
        dispatched: Dispatched | None = None,
        retry_after_seconds: float | None = None,
        usage: Usage | None = None,
        usage_estimated: bool = False,
        request_id: str | None = None,
    ) -> None:
        self.provider = provider
        self.message = _one_line(message)
        super().__init__(f"{provider}: {self.message}")
        if dispatched is not None:
            self.dispatched = dispatched
        self.retry_after_seconds = retry_after_seconds
        self.usage = usage
        self.usage_estimated = usage_estimated
        self.request_id = request_id

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.retry != "no"


class InvalidRequest(ProviderError):
    """The provider can't make what was asked for."""

    reason = "invalid_request"
    dispatched = "no"
    retry = "no"
    breaker = "ignores"


class ContentRefused(ProviderError):
    """The prompt, or what was made of it, is against the provider's rules."""

    reason = "content_refused"
    dispatched = "unknown"
    retry = "no"
    breaker = "ignores"


class AuthOrBilling(ProviderError):
    """The key, the permission or the money at the provider is missing: a matter for operators."""

    reason = "auth_or_billing"
    dispatched = "no"
    retry = "no"
    breaker = "opens"


class RateLimited(ProviderError):
    """Too many requests."""

    reason = "rate_limited"
    dispatched = "no"
    retry = "told"
    breaker = "ignores"


class Unavailable(ProviderError):
    """The provider takes no work at the moment."""

    reason = "unavailable"
    dispatched = "no"
    retry = "told"
    breaker = "counts"


class ModelLoading(ProviderError):
    """The provider makes the model ready, which costs nothing; `retry_after_seconds` says when."""

    reason = "model_loading"
    dispatched = "no"
    retry = "told"
    breaker = "ignores"


class ModelGone(ProviderError):
    """The provider does not have the model, or not for this key."""

    reason = "model_gone"
    dispatched = "no"
    retry = "no"
    breaker = "ignores"


class ConnectFailed(ProviderError):
    """No connection came about, so that nothing was sent."""

    reason = "connect_failed"
    dispatched = "no"
    retry = "backoff"
    breaker = "counts"


class TimeoutUnknown(ProviderError):
    """The request was sent, and then no answer came or the connection broke."""

    reason = "timeout_unknown"
    dispatched = "unknown"
    retry = "backoff"
    breaker = "counts"


class ProviderFailed(ProviderError):
    """The provider failed by its own fault, or answered what nobody can use."""

    reason = "provider_failed"
    dispatched = "unknown"
    retry = "backoff"
    breaker = "counts"


class JobCancelled(ProviderError):
    """The job was stopped because somebody asked the provider to."""

    reason = "job_cancelled"
    dispatched = "no"
    retry = "no"
    breaker = "ignores"


_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthOrBilling,
    402: AuthOrBilling,
    403: AuthOrBilling,
    404: ModelGone,
    408: TimeoutUnknown,
    409: Unavailable,
    410: ModelGone,
    429: RateLimited,
    498: Unavailable,  # Groq has no capacity left in its flexible tier
    499: TimeoutUnknown,  # somebody on the way has hung up
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
