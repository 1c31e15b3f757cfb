"""What the ends of a call mean: what is to be paid, and whether another try may help."""

from __future__ import annotations

from decimal import Decimal

from clients.amounts import Unit
from clients.types import Denial, LimitingBudget
from generations.catalogue import Catalogue
from generations.pricing import Unpriced, Usage, price
from workers.providers.errors import ProviderError
from workers.rows import Answer, Attempt, Claim, Failure

# Attempts for one generation, of whatever end.
ATTEMPTS_MAX = 5
# Attempts that were paid, or may have been, and brought nothing: nobody pays three times.
PAID_FAILURES_MAX = 2
# A provider that wants to be left alone for longer has failed.
RETRY_S_MAX = 600.0


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


def failure_of(claim: Claim, attempt: Attempt, error: ProviderError) -> Failure:
    """Return why an attempt has come to nothing, and when to make another."""
    retry_s = None
    if error.retryable:
        asked_s = error.retry_after_seconds
        retry_s = 2.0**attempt.number if asked_s is None else asked_s
    failure = Failure(error.reason, error.message, retry_s)
    return _limited(claim, attempt, failure, paid=error.dispatched != "no")


def outcome_unknown(claim: Claim, attempt: Attempt) -> Failure:
    """Return the failure of a call whose worker ended, and which nobody can be asked about."""
    message = "The worker ended during the call, which is presumed to have been made."
    return _limited(claim, attempt, Failure("outcome_unknown", message, 0.0), paid=True)


def presumed(claim: Claim, attempt: Attempt, failure: Failure) -> Answer:
    """Return the answer of a call that may have been made: its estimate, to be reconciled."""
    return Answer(
        attempt.option.estimate_micros, claim.request.count, failure=failure, presumed_spent=True
    )


def describe_denial(denial: Denial) -> str:
    """Return for people why a Reserve was denied: by its tightest budget, if it was one."""
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
    enough = attempt.number >= ATTEMPTS_MAX or claim.paid_count + paid >= PAID_FAILURES_MAX
    if enough or failure.retry_s is None or failure.retry_s > RETRY_S_MAX:
        return failure._replace(retry_s=None)
    return failure


def _amount(budget: LimitingBudget, amount: int) -> str:
    if budget.unit in (Unit.USD, Unit.CREDITS):
        return f"{Decimal(amount).scaleb(-6).normalize():f} {budget.unit}"
    return f"{amount} {budget.unit.lower()}"
