"""Requests and contexts as the similarity cache gets them."""

from __future__ import annotations

from generations.models import Kind
from generations.requests import GenerationRequest

DISH = {
    "cuisine": ("Italian",),
    "course": ("main",),
    "ingredients": ("rice", "saffron", "butter", "onion"),
    "method": ("simmer",),
}


def request(**changes):
    """Return a request for a picture of a cat, changed."""
    fields = {
        "account": "acme/alice",
        "kind": Kind.IMAGE,
        "prompt": "a cat",
        "model": "",
        "size": "1024x1024",
        "quality": "premium",
        "count": 1,
    }
    return GenerationRequest(**(fields | changes))
