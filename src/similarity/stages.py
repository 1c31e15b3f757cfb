"""The stages of the similarity cache, and who may be served by which.

    exact -> normalised -> signature -> guarded -> structured -> chat

Each stage finds what the one before it does not, and is less sure. What a request is made of says
which are possible at all; of these, the policy of its account says which are allowed, and the
request may ask for fewer.
"""

from __future__ import annotations

from enum import StrEnum

from generations.models import Kind
from generations.requests import GenerationRequest
from similarity.policy import CachePolicy, Stage, up_to

__all__ = [
    "CachePolicy",
    "Reuse",
    "Stage",
    "allowed_stages",
    "is_repeatable",
    "may_fill",
    "possible_stages",
]


class Reuse(StrEnum):
    """What a request says of the cache."""

    BY_POLICY = ""
    OFF = "off"  # neither reads nor writes
    REFRESH = "refresh"  # does not read, but writes
    # The deepest stage that may serve it, of those that the policy allows.
    EXACT = "exact"
    NORMALISED = "normalised"
    GUARDED = "guarded"
    SUGGEST = "suggest"  # near matches are offered first; then it is as by policy


_DEEPEST = {
    Reuse.EXACT: Stage.EXACT,
    Reuse.NORMALISED: Stage.NORMALISED,
    Reuse.GUARDED: Stage.GUARDED,
}


def is_repeatable(request: GenerationRequest) -> bool:
    """Say whether two requests that are identical and in flight want one answer between them.

    A chat is sampled anew each time, unless a seed or a temperature of 0 says otherwise.
    """
    if request.kind is not Kind.CHAT:
        return True
    return request.settings.seed is not None or request.settings.temperature == 0


def possible_stages(request: GenerationRequest, *, has_context: bool = False) -> tuple[Stage, ...]:
    """Return the stages that may ever serve or keep such a request, whatever the policy says.

    A seed of the user's own asks for one picture and no other, what a picture is given as input is
    not in the prompt, and a chat that is sampled is not like any other: these are known to the
    letter alone.
    """
    settings = request.settings
    only_exact = settings.seed is not None or settings.references or settings.mask
    if only_exact or not is_repeatable(request):
        return (Stage.EXACT,)
    absent = set() if has_context else {Stage.STRUCTURED}
    if request.kind is not Kind.CHAT:
        absent.add(Stage.CHAT)
    return tuple(stage for stage in Stage if stage not in absent)


def allowed_stages(
    request: GenerationRequest,
    policy: CachePolicy,
    reuse: Reuse = Reuse.BY_POLICY,
    *,
    has_context: bool = False,
) -> tuple[Stage, ...]:
    """Return the stages that are looked up for a request, in their order; none to look up none."""
    allowed = _wanted(request.kind, policy, reuse)
    possible = possible_stages(request, has_context=has_context)
    return tuple(stage for stage in possible if stage in allowed)


def _wanted(kind: Kind, policy: CachePolicy, reuse: Reuse) -> frozenset[Stage]:
    if reuse in (Reuse.OFF, Reuse.REFRESH) or not policy.is_enabled:
        return frozenset()
    allowed = policy.stages(kind)
    return allowed & up_to(_DEEPEST[reuse]) if reuse in _DEEPEST else allowed


def may_fill(policy: CachePolicy, reuse: Reuse) -> bool:
    """Say whether what is made for a request may be kept for others."""
    return policy.is_enabled and reuse is not Reuse.OFF
