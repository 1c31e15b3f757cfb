"""What differs between the async clients and the sync ones: `clients.concurrency` for threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")

Sleep = Callable[[float], None]

sleep = time.sleep


def finish(work: _Result) -> _Result:
    """Return the work, which a thread has done by the time it is handed over."""
    return work
