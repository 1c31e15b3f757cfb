"""Which provider is asked next: one that failed is left out while another one may do better."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from enum import Enum

from generations.catalogue import Catalogue, Quality
from workers.options import NoOption, priced_options
from workers.providers.errors import TimeoutUnknown
from workers.providers.facts import unknown_outcome
from workers.rows import Attempt, Claim

# No time helps these: the provider needs an operator, or has the model no more.
LASTING = frozenset({"auth_or_billing", "model_gone"})


class Turn(Enum):
    """Whose turn it is once a provider has failed, other than its own again."""

    OTHER = "other"  # of one that was not asked in this round
    ANEW = "anew"  # of all whose fault may have passed
    NONE = "none"


def left_out(claim: Claim) -> set[str]:
    """Return the providers that the next attempt is not for, by how the earlier ones ended.

    An attempt that failed with nobody left to turn to ends a round: after it, all are asked again
    whose fault may have passed.
    """
    passing = set[str]()
    for attempt in claim.counted_attempts:
        if attempt.failure is None or attempt.option_index is None:
            continue
        if attempt.failure.elsewhere:
            passing.add(attempt.option.provider)
        else:
            passing.clear()
    return passing | _lasting(claim)


def next_turn(
    catalogue: Catalogue,
    claim: Claim,
    failed: str,
    providers: Collection[str],
    today: date,
    *,
    tier: str = "",
) -> Turn:
    """Return whose turn it is after `failed` has failed, of those that make up to a tier."""
    for turn, without in ((Turn.OTHER, left_out(claim)), (Turn.ANEW, _lasting(claim))):
        try:
            priced_options(
                catalogue,
                claim.request,
                providers,
                today,
                without=without | {failed},
                tier=tier,
            )
        except NoOption:
            continue
        return turn
    return Turn.NONE


def tier_of(attempt: Attempt) -> str:
    """Return the tier that bounds the options of an attempt, and so of the next; '' for none."""
    tiers = {option.tier for option in attempt.options}
    return Quality.STANDARD if tiers == {Quality.STANDARD} else ""


def _lasting(claim: Claim) -> set[str]:
    """Return the providers that this generation is not for any more."""
    return {
        attempt.option.provider
        for attempt in claim.counted_attempts
        if attempt.failure is not None
        and attempt.option_index is not None
        and (
            attempt.failure.reason in LASTING
            # It may have the job: submitted again, it would do the work twice.
            or (attempt.presumed_spent and may_have_job(claim, attempt, attempt.failure.reason))
        )
    }


def may_have_job(claim: Claim, attempt: Attempt, reason: str) -> bool:
    """Say whether the provider may still have the job of an attempt that failed for this reason.

    One that ended badly by what its provider says is no more; it may be submitted again.
    """
    if unknown_outcome(attempt.option.provider, claim.request.kind) != "resume":
        return False
    return not attempt.remote_id or reason == TimeoutUnknown.reason
