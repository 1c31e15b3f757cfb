"""What is to be known about each provider before it is used; docs/providers.md shows it.

resume         A job has an id at the provider, which is asked for it. A call that ended before
               the id was written down is presumed to be spent.
presume_spent  Nobody can be asked. Commit the estimate, flagged to be reconciled.
make_anew      The worker does it by itself, and its death ends it: nobody bills what it had begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from generations.models import Kind

# What becomes of an attempt whose worker ended during the call.
UnknownOutcome = Literal["resume", "presume_spent", "make_anew"]


@dataclass(frozen=True, slots=True)
class Facts:
    """A provider by the catalogue's name for it.

    `variable` holds its key; it is empty where none is needed. `cost` says how the cost of a call
    is known. `without_jobs` are the kinds that it makes in one call, though it has jobs of others.
    """

    name: str
    kinds: tuple[Kind, ...]
    variable: str
    unknown_outcome: UnknownOutcome
    cost: str
    without_jobs: tuple[Kind, ...] = ()


FACTS = (
    Facts(
        "openai",
        (Kind.IMAGE, Kind.CHAT),
        "OPENAI_API_KEY",
        "presume_spent",
        "by the tokens that the answer reports",
    ),
    Facts(
        "groq",
        (Kind.CHAT,),
        "GROQ_API_KEY",
        "presume_spent",
        "by the tokens that the answer reports",
    ),
    Facts(
        "fal",
        (Kind.IMAGE, Kind.VIDEO),
        "FAL_KEY",
        "resume",
        "by the billable units that the result reports; videos by the seconds of the file",
    ),
    Facts(
        "huggingface",
        (Kind.IMAGE,),
        "HF_TOKEN",
        "presume_spent",
        "by the compute time that the answer reports, or else by the time that it took",
    ),
    Facts(
        "novita",
        (Kind.IMAGE, Kind.CHAT),
        "NOVITA_API_KEY",
        "resume",
        "images by the formula of the model; chat by the tokens that the answer reports",
        without_jobs=(Kind.CHAT,),
    ),
    Facts(
        "stability",
        (Kind.IMAGE,),
        "STABILITY_API_KEY",
        "presume_spent",
        "by the credits of each image that was made",
    ),
    Facts(
        "sandbox",
        (Kind.IMAGE, Kind.CHAT, Kind.VIDEO),
        "WORKERS_SANDBOX",
        "presume_spent",
        "by the catalogue's examples; nothing is really spent",
    ),
    Facts(
        "print",
        (Kind.IMAGE,),
        "",
        "make_anew",
        "by the catalogue: workers make prints themselves, at our own price",
    ),
)
_BY_NAME = {facts.name: facts for facts in FACTS}


def unknown_outcome(provider: str, kind: Kind) -> UnknownOutcome:
    """Return the policy of a provider for a kind; the careful one if it is not known."""
    facts = _BY_NAME.get(provider)
    if facts is None or kind in facts.without_jobs:
        return "presume_spent"
    return facts.unknown_outcome
