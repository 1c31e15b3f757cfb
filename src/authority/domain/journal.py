"""What the use cases ask of the way from the hot store into the ledger."""

from __future__ import annotations

from typing import Protocol

from authority.domain.operations import Operation


class Journal(Protocol):
    """Carries operations from the outbox into the ledger."""

    async def append(self, operation: Operation, entry: str) -> None:
        """Return when the operation is in the ledger. Raises Unavailable if that is not known.

        Then its entry is taken out of the outbox, if it is not ''.
        """
        ...

    def append_later(self, operation: Operation, entry: str) -> None:
        """Write the operation with the next ones, without waiting."""
        ...
