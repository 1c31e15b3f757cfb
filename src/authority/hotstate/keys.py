"""Every key of the hot state, and nowhere else.

All keys of a tenant carry its hash tag, so a tenant is one slot of a cluster. All but two carry the
epoch: what an older life of the store left behind is out of sight at once, and times out.
"""

from __future__ import annotations

from typing import NamedTuple

from authority.domain.budgets import WindowRef
from authority.domain.ids import uuid_of


class TenantKeys(NamedTuple):
    """The keys of one tenant in one epoch."""

    tenant: str
    epoch: int

    @property
    def meta(self) -> str:
        """Epoch, sequence, clock, policy version."""
        return f"pm:{{{self.tenant}}}:meta"

    @property
    def outbox(self) -> str:
        """Operations that are decided and not yet known to be in the ledger."""
        return f"pm:{{{self.tenant}}}:outbox"

    @property
    def expiries(self) -> str:
        """Open reservations by the time at which they expire."""
        return f"pm:{{{self.tenant}}}:{self.epoch}:expiries"

    def answer(self, idempotency_key: str) -> str:
        """Return the key of the first answer of an idempotency key."""
        return f"pm:{{{self.tenant}}}:{self.epoch}:answer:{idempotency_key}"

    def reservation(self, reservation_id: str) -> str:
        """Return the key of a reservation."""
        return f"pm:{{{self.tenant}}}:{self.epoch}:reservation:{uuid_of(reservation_id)}"

    def window(self, ref: WindowRef | str) -> str:
        """Return the key of the counts of a budget in one window, or of a lot."""
        return f"pm:{{{self.tenant}}}:{self.epoch}:window:{ref}"

    def lease(self, ref: WindowRef | str) -> str:
        """Return the key of what is leased to the tenant of a platform's budget in one window."""
        return self.window(f"lease:{ref}")

    def admitted(self, idempotency_key: str) -> str:
        """Return the key of a submission that was let in."""
        return f"pm:{{{self.tenant}}}:{self.epoch}:admitted:{idempotency_key}"

    def bursts(self, account: str) -> str:
        """Return the key of when an account's submissions were refused for a rate."""
        return f"pm:{{{self.tenant}}}:{self.epoch}:bursts:{account}"

    def submissions(self, subject: str) -> str:
        """Return the key of a rate of submissions: of an account, or of an API key."""
        return f"pm:{{{self.tenant}}}:{self.epoch}:submissions:{subject}"

    def rate(self, account: str) -> str:
        """Return the key of an account's rate limit."""
        return f"pm:{{{self.tenant}}}:{self.epoch}:rate:{account}"
