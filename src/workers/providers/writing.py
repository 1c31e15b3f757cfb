"""Writes a placeholder answer to a chat: the same request, the same words.

It says what it is, so that nobody takes it for the work of a model. A token is a word with the
space behind it, which is never more than the bytes of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from random import Random

QUOTE_LENGTH_MAX = 200
# What a chat counts for each message, beside its words.
TOKENS_PER_MESSAGE = 3

_TOKEN = re.compile(r"\s*\S+\s*|\s+")
_SENTENCES = (
    "It has been read, and nobody has thought about it.",
    "A model would go into it here, at some length.",
    "There would be more to be said, and it would cost more.",
    "Whoever needs a real answer gives the worker the key of a real provider.",
    "The words are chosen by the request alone, and so come again with it.",
    "What an answer costs is counted as if it had been worth it.",
)


def write_answer(messages: Sequence[str], *, variant: str, index: int, band: str) -> str:
    """Return an answer to the last of some messages, the same for the same arguments.

    `variant` stands for all else that makes a request another one; `index` counts the answers to
    one request from 0.
    """
    text = "\n".join((*messages, variant, str(index)))
    # It guards no secret: the same seed has to give the same answer.
    random = Random(hashlib.sha256(text.encode(errors="replace")).digest())  # noqa: S311
    said = " ".join(messages[-1].split())
    quote = said if len(said) <= QUOTE_LENGTH_MAX else said[:QUOTE_LENGTH_MAX] + "…"
    return f"[{band}] You said: “{quote}” " + " ".join(random.sample(_SENTENCES, 3))


def tokens(text: str) -> list[str]:
    """Return the tokens of a text, which make it up again."""
    return _TOKEN.findall(text)


def count_input_tokens(messages: Sequence[str]) -> int:
    """Return how many tokens messages have, as a chat counts them."""
    return sum(len(tokens(message)) + TOKENS_PER_MESSAGE for message in messages)
