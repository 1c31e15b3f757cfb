"""What the similarity cache knows a request by.

A scope is an equality: what may be served to a request was made for the same tenant, by the same
model at the same quality, size and settings, and as many. Within it the prompt or the context
decides, stage by stage.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Collection
from typing import NamedTuple

from generations.requests import GenerationRequest
from generations.styles import styles
from similarity.normalise import NORMALISER_VERSION, normalise
from similarity.policy import Stage
from similarity.signature import signature
from similarity.structured import Context, StructuredPolicy, probe


class Fingerprint(NamedTuple):
    """What a request is known by: SHA-256, or None where a stage has nothing to know it by."""

    scope: bytes
    exact: bytes
    normalised: bytes | None
    signature: bytes | None
    structured: bytes | None


def fingerprint(
    request: GenerationRequest,
    *,
    model: str,
    quality: str,
    stages: Collection[Stage],
    embedder: str = "",
    context: Context | None = None,
    structured: StructuredPolicy | None = None,
) -> Fingerprint:
    """Return what a request is known by to some stages, if `model` makes it at `quality`.

    To look up, `stages` are those that are allowed; to keep, those that are possible. The signature
    takes a millisecond and reads files: with it, call this in a thread. It alone may fail, with
    WordNetMissing; then call again without Stage.SIGNATURE.
    """
    normalised = normalise(request.prompt) if Stage.NORMALISED in stages else ""
    signed = signature(request.prompt) if Stage.SIGNATURE in stages else ""
    has_probe = Stage.STRUCTURED in stages and context and structured is not None
    return Fingerprint(
        scope=scope(request, model=model, quality=quality, embedder=embedder),
        exact=exact_hash(request.prompt),
        normalised=_hash(normalised) if normalised else None,
        signature=_hash(signed) if signed else None,
        structured=probe(structured, context) if has_probe and structured and context else None,
    )


def scope(request: GenerationRequest, *, model: str, quality: str, embedder: str) -> bytes:
    """Return the hash of what must be equal before the prompt is looked at.

    The model and quality are those of an option, not of the request: what a soft cap has downgraded
    is never served to a request that may have the better one. `embedder` is the name of the one in
    use: vectors of another are no neighbours.
    """
    style = styles().get(request.settings.style)
    parts = [
        NORMALISER_VERSION, embedder, _tenant(request), request.kind, model, quality, request.size,
        request.count, request.settings.encode(),
        # A preset may be changed and keep its name.
        [style.suffix, style.negative_prompt] if style else [],
    ]  # fmt: skip
    return _hash(json.dumps(parts))


def exact_hash(prompt: str) -> bytes:
    """Return what a prompt is known by to the letter, as a pair that is denied names it."""
    return _hash(unicodedata.normalize("NFC", prompt))


def join_key(request: GenerationRequest) -> bytes:
    """Return what a request is known by to identical ones while it is in flight.

    It is what was asked for, to the letter: who makes it in the end is the same for all.
    """
    asked = [
        _tenant(request), request.kind, request.model, request.quality, request.size,
        request.count, request.settings.encode(), unicodedata.normalize("NFC", request.prompt),
    ]  # fmt: skip
    return _hash(json.dumps(asked))


def _tenant(request: GenerationRequest) -> str:
    return request.account.partition("/")[0]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
