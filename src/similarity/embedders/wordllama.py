"""WordLlama's vectors: the mean of those of a text's tokens. The order of words is invisible.

Its wheel has the weights, which its own loader does not find without a network.
"""

from __future__ import annotations

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from similarity.embedders.local import Encode, LocalEmbedder, wheel_file
from similarity.vectors import Vector, unit

NAME = "wordllama-l2-supercat-256"
DIMENSIONS = 256

_WEIGHTS = (
    "wordllama/weights/l2_supercat_256.safetensors",
    "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
)
_TOKENIZER = (
    "wordllama/tokenizers/l2_supercat_tokenizer_config.json",
    "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
)


def wordllama() -> LocalEmbedder:
    """Return the default embedder."""
    return LocalEmbedder(NAME, DIMENSIONS, _load)


def _load() -> Encode:
    tokenizer = Tokenizer.from_file(str(wheel_file("wordllama", *_TOKENIZER)))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # Of half the length, as it is kept; a text needs only its own rows at full length.
    weights = load_file(wheel_file("wordllama", *_WEIGHTS))["embedding.weight"]
    assert weights.shape[1] == DIMENSIONS, "the hash says so"

    def encode(text: str) -> Vector:
        tokens = tokenizer.encode(text, add_special_tokens=False).ids
        if not tokens:
            raise ValueError("it is empty")
        return unit(weights[tokens].astype(np.float32).mean(axis=0))

    return encode
