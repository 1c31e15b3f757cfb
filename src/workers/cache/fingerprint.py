"""What the similarity cache knows a request by.

A scope is an equality: what may be served to a request was made for the same tenant, by the same
model at the same quality, size and settings, and as many. Within it the prompt decides: of pictures
to the letter or normalised; only to the letter of chat, where dress is meaning, and of what has a
seed of the user's own, which asks for one picture and no other.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata

from generations.models import Kind
from generations.requests import GenerationRequest
from similarity.normalise import NORMALISER_VERSION, normalise
from workers.rows import Fingerprint


def fingerprint(request: GenerationRequest, *, model: str, quality: str) -> Fingerprint:
    """Return what a request is known by, if `model` makes it at `quality`.

    The model and quality are those of an option, not of the request: what a soft cap has downgraded
    is never served to a request that may have the better one.
    """
    tenant = request.account.partition("/")[0]
    scope = [
        NORMALISER_VERSION, tenant, request.kind, model, quality, request.size, request.count,
        request.settings.encode(),
    ]  # fmt: skip
    only_exact = request.kind is Kind.CHAT or request.settings.seed is not None
    normalised = "" if only_exact else normalise(request.prompt)
    return Fingerprint(
        scope=_hash(json.dumps(scope)),
        exact=_hash(unicodedata.normalize("NFC", request.prompt)),
        normalised=_hash(normalised) if normalised else None,
    )


def is_repeatable(request: GenerationRequest) -> bool:
    """Say whether two requests that are identical want one answer between them.

    A chat is sampled anew each time, unless a seed or a temperature of 0 says otherwise.
    """
    if request.kind is not Kind.CHAT:
        return True
    return request.settings.seed is not None or request.settings.temperature == 0


def join_key(request: GenerationRequest) -> bytes:
    """Return what a request is known by to identical ones while it is in flight.

    It is what was asked for, to the letter: who makes it in the end is the same for all.
    """
    asked = [
        request.account.partition("/")[0], request.kind, request.model, request.quality,
        request.size, request.count, request.settings.encode(),
        unicodedata.normalize("NFC", request.prompt),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(asked).encode()).digest()


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
