"""Vectors of length 1, of which the product is the cosine of the angle between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PPM = 1_000_000

Vector = NDArray[np.float32]


def unit(values: NDArray[np.floating]) -> Vector:
    """Return a vector of length 1 in the same direction. Raises ValueError if it has none."""
    vector = np.asarray(values, dtype=np.float32)
    length = float(np.linalg.norm(vector))
    if not 0 < length < np.inf:
        raise ValueError("A vector without length has no direction.")
    made: Vector = vector / np.float32(length)
    return made


def cosine(one: Vector, other: Vector) -> float:
    """Return the cosine between two vectors of length 1, -1 to 1."""
    # Summed in 64 bits: the order in which a machine adds shall not decide at a threshold.
    product = float(np.dot(one.astype(np.float64), other.astype(np.float64)))
    return max(-1.0, min(1.0, product))


def in_ppm(score: float) -> int:
    """Return a score of 0 to 1 in millionths, rounded down; one below 0 is 0."""
    return max(0, int(score * PPM))
