"""When to try a call again: on UNAVAILABLE alone, with the same idempotency key."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from clients.errors import PaymasterError, Unavailable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and after what delay a call is tried again. Delays are in seconds.

    The delays grow from `delay_first` to `delay_max`, each times a random part of itself, so that
    the clients of an authority that comes back do not all return at the same moment.
    """

    attempts_max: int = 5
    delay_first: float = 0.1
    delay_max: float = 1.0
    random: Callable[[], float] = random.random  # from 0 to 1

    def delay(self, error: PaymasterError, attempt: int, remaining: float) -> float | None:
        """Return how long to wait after failed attempt number `attempt`, counted from 1.

        None means not to try again: the error is another one, the attempts are used up, or the
        `remaining` seconds of the call's deadline are too few. A denial is never tried again.
        """
        if not isinstance(error, Unavailable) or attempt >= self.attempts_max:
            return None
        longest = min(self.delay_max, self.delay_first * 2 ** (attempt - 1))
        asked = error.retry_after.total_seconds() if error.retry_after else 0.0
        delay = asked + longest * self.random()
        return delay if delay < remaining else None
