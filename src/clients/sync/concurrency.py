"""How the sync clients wait; `clients.concurrency` is the same for the async ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

Sleep = Callable[[float], None]

sleep = time.sleep


def in_thread(
    function: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> _Result:
    """Call a function that blocks, in the thread that asks, which may block."""
    return function(*args, **kwargs)


def finish(work: _Result) -> _Result:
    """Return the work, which a thread has done by the time it is handed over."""
    return work


def home_loop() -> object:
    """Return nothing: there is no event loop, and every thread may use a client."""


def check_home(_loop: object) -> None:
    """Let every thread in."""
