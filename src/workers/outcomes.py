"""What the ends of a call mean: what is to be paid, and whether another try may help."""

from __future__ import annotations

from decimal import Decimal

from clients.amounts import AMOUNT_MAX, Unit
from clients.types import Denial, GrantShortage, LimitingBudget
from generations.catalogue import Catalogue, Kind
from generations.pricing import Unpriced, Usage, price
from workers.fallback import Turn, may_have_job
from workers.providers.errors import ProviderError
from workers.providers.facts import unknown_outcome
from workers.rows import Answer, Attempt, Claim, Failure
from workers.steering import Stop

# Attempts for one generation, of whatever end.
ATTEMPTS_MAX = 5
# Attempts that were paid, or may have been, and brought nothing: nobody pays three times.
PAID_FAILURES_MAX = 2
# A provider that wants to be left alone for longer has failed.
RETRY_S_MAX = 600.0
# What another provider may not have: all but what is wrong with the request itself.
ELSEWHERE = frozenset(
    {
        "auth_or_billing",
        "connect_failed",
        "model_gone",
        "model_loading",
        "provider_failed",
        "rate_limited",
        "timeout_unknown",
        "unavailable",
    }
)
# Of these, what is waited out for so long before another provider is asked.
PASSING = frozenset({"model_loading", "rate_limited"})
SHORT_S_MAX = 10.0
# What only the requester can mend. Whatever else fails for good is a dead letter.
OF_REQUESTER = frozenset(
    {
        "content_refused",
        "deadline_exceeded",
        "invalid_request",
        "model_retired",
        "plan_tier",
        "reference_missing",
        "unknown_model",
        "unpriced",
    }
)

STOPS = {
    Stop.CANCELLED: Failure("cancelled", "It was cancelled."),
    Stop.DEADLINE: Failure("deadline_exceeded", "Its deadline has passed."),
}


def bill(catalogue: Catalogue, claim: Claim, attempt: Attempt, usage: Usage | None) -> int:
    """Return what an attempt cost by its usage, in micros; the estimate where that is unknown."""
    request, option = claim.request, attempt.option
    # Not by `find`, which refuses a model that was retired since: it is to be paid all the same.
    models = (model for model in catalogue.models(request.kind) if model.name == option.model)
    model = next(models, None)
    if model is None or usage is None:
        return option.estimate_micros
    try:
        return price(
            model,
            size=request.size,
            quality=option.quality,
            count=request.count,
            prompt=request.prompt,
            settings=request.settings,
            usage=usage,
        )
    except (Unpriced, OverflowError):
        return option.estimate_micros


def as_billed(kind: Kind, usage: Usage | None, made: int) -> dict[str, int]:
    """Return what is written down of a bill: tokens, how many were made, and of videos the time."""
    billed = {f"{kind}s": made} if kind is not Kind.CHAT else {}
    if usage is None:
        return billed
    tokens = {
        "input_tokens": (usage.text_input_tokens, usage.image_input_tokens),
        "output_tokens": (usage.text_output_tokens, usage.image_output_tokens),
    }
    billed |= {
        name: min(sum(count or 0 for count in counts), AMOUNT_MAX)
        for name, counts in tokens.items()
        if any(count is not None for count in counts)
    }
    if kind is Kind.VIDEO and usage.seconds is not None:
        billed["milliseconds"] = int(min(usage.seconds * 1000, Decimal(AMOUNT_MAX)))
    return billed


def failure_of(claim: Claim, attempt: Attempt, error: ProviderError, turn: Turn) -> Failure:
    """Return why an attempt has come to nothing, and when to make another.

    `turn` says whose turn it is where another provider may not have this error.
    """
    wait_s = error.retry_after_seconds
    if wait_s is None:
        wait_s = 2.0 ** (attempt.number - claim.forgiven_count)
    again = error.retryable
    if error.dispatched == "unknown" and may_have_job(claim, attempt, error.reason):
        # Submitted again, it would do the work twice.
        again = False
    short = again and error.reason in PASSING and wait_s <= SHORT_S_MAX
    elsewhere = error.reason in ELSEWHERE and turn is Turn.OTHER and not short
    anew = error.reason in ELSEWHERE and turn is Turn.ANEW
    retry_s = 0.0 if elsewhere else wait_s if again or anew else None
    failure = Failure(
        error.reason,
        error.message,
        retry_s,
        elsewhere,
        error_class=type(error).__name__,
        error_body=error.message,
        request_id=error.request_id or "",
    )
    return _limited(claim, attempt, failure, paid=error.dispatched != "no")


def outcome_of_dead(claim: Claim, attempt: Attempt) -> Failure:
    """Return the failure of a call whose worker ended, and which nobody can be asked about."""
    message = "The worker ended during the call, which is presumed to have been made."
    once = unknown_outcome(attempt.option.provider, claim.request.kind) == "resume"
    failure = Failure("outcome_unknown", message, None if once else 0.0)
    return _limited(claim, attempt, failure, paid=True)


def is_dead_letter(reason: str) -> bool:
    """Say whether a failure for good is for operators, who may mend its cause and retry it."""
    return reason not in OF_REQUESTER


def presumed(claim: Claim, attempt: Attempt, failure: Failure) -> Answer:
    """Return the answer of a call that may have been made: its estimate, to be reconciled."""
    return Answer(
        attempt.option.estimate_micros, claim.request.count, failure=failure, presumed_spent=True
    )


def describe_denial(denial: Denial) -> str:
    """Return for people why a Reserve was denied: by the tightest budget or what is lacking."""
    if denial.grant_shortages and not denial.limiting_budgets:
        row = denial.grant_shortages[0]
        left = _amount(row, max(row.available, 0))
        return (
            f"What was granted to {denial.account} does not cover it: it costs "
            f"{_amount(row, row.requested)}, and {left} may be spent."
        )
    if not denial.limiting_budgets:
        return f"A Reserve for {denial.account} was denied: {denial.reason}."
    budget = denial.limiting_budgets[0]
    window = "in all" if budget.reset_time is None else f"per {budget.window.lower()}"
    return (
        f"The budget {budget.budget} of {budget.account} allows {_amount(budget, budget.limit)} "
        f"{window}; {_amount(budget, budget.requested)} more is {_amount(budget, budget.short_by)} "
        f"too much, with {_amount(budget, budget.committed)} spent and "
        f"{_amount(budget, budget.reserved)} held."
        + (f" It begins anew {budget.reset_time:%Y-%m-%d %H:%M} UTC." if budget.reset_time else "")
    )


def _limited(claim: Claim, attempt: Attempt, failure: Failure, *, paid: bool) -> Failure:
    """Take the retry away where there were enough, or where it is too far away."""
    tries = attempt.number - claim.forgiven_count
    enough = tries >= ATTEMPTS_MAX or claim.paid_count + paid >= PAID_FAILURES_MAX
    if enough or failure.retry_s is None or failure.retry_s > RETRY_S_MAX:
        return failure._replace(retry_s=None, elsewhere=False)
    return failure


def _amount(row: LimitingBudget | GrantShortage, amount: int) -> str:
    if row.unit in (Unit.USD, Unit.CREDITS):
        return f"{Decimal(amount).scaleb(-6).normalize():f} {row.unit}"
    return f"{amount} {row.unit.lower()}"
