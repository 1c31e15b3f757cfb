"""The rate of submissions: each account and API key may make so many a minute.

An account's own number comes before its plan's. Those above it count too, and so does the API key:
a submission takes one from each, or from none. What is let in is counted, whatever becomes of it;
a replay is not, and what is refused leaves nothing behind, so that its key may be used again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authority.domain.callers import Caller
from authority.domain.errors import LimitingRate, SubmissionDenied, Unavailable
from authority.domain.ids import tenant_of
from authority.domain.operations import DenialReason
from authority.domain.policies import TenantPolicy
from authority.domain.submissions import Bursts, Rate, SubmissionRates
from authority.usecases.abuse import AbuseGuard
from authority.usecases.context import Context

_ROUNDS_MAX = 3


@dataclass(frozen=True, slots=True)
class Submitting:
    """What counts submissions, wired by `authority.core`."""

    context: Context
    rates: SubmissionRates
    abuse: AbuseGuard


async def let_in(submitting: Submitting, account: str, key: str, caller: Caller) -> None:
    """Take a new submission from the rates that it is under; nothing is asked where there are none.

    Raises:
        NotFound: there is no such account.
        SubmissionDenied: a rate does not allow it now, or the account is frozen, or closed.
        Unavailable: the hot store is away.

    """
    policy = await submitting.context.policies.of(account)
    # What would only wait to be denied by the worker's Reserve is not taken in.
    if refusal := policy.refusal(account, submitting.context.clock.now_ms()):
        raise SubmissionDenied(account, refusal)
    rates = _rates_of(policy, account, caller)
    if not rates:
        return
    abuse = policy.abuse(account)
    bursts = Bursts(account, abuse.bursts, abuse.within_ms)
    tenant = tenant_of(account)
    for _ in range(_ROUNDS_MAX):
        taken = await submitting.rates.take(tenant, key, rates, bursts)
        if taken is not None:
            break
        await submitting.context.open_tenant(tenant)
    else:
        raise Unavailable("The hot state keeps changing; try again.")
    if taken.is_burst:
        await submitting.abuse.report_burst(account, abuse)
    if taken.waits_ms:
        raise SubmissionDenied(account, DenialReason.RATE_LIMITED, _limiting(rates, taken.waits_ms))


def _rates_of(policy: TenantPolicy, account: str, caller: Caller) -> list[Rate]:
    accounts = [
        Rate(node.account, "", per_minute)
        for node in policy.chain(account)
        if (per_minute := policy.submissions_per_minute(node))
    ]
    if not caller.submissions_per_minute:
        return accounts
    return [*accounts, Rate("", caller.id, caller.submissions_per_minute)]


def _limiting(rates: Sequence[Rate], waits_ms: Sequence[int]) -> list[LimitingRate]:
    return [
        LimitingRate(*rate, wait) for rate, wait in zip(rates, waits_ms, strict=True) if wait > 0
    ]
