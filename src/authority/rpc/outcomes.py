"""The answers of many operations that were sent together: each its own, and none in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
import uuid_utils
from google.rpc import status_pb2

from authority.domain.errors import OutOfTime, PaymasterError
from authority.rpc.status import internal_status, status_of

# Less than a call may take, so that one that hangs does not take the others' answers along.
ITEM_SECONDS_MAX = 20.0
# Of all batches and sessions of this process: enough to fill a transaction of the journal, and a
# bound on the connections to the hot store, of which each script under way needs one.
AT_ONCE_MAX = 500

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

log = structlog.get_logger(__name__)


class Outcomes:
    """Runs the operations of batches and sessions."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)

    async def of(
        self, operation: Callable[[_Request], Awaitable[_Response]], request: _Request
    ) -> _Response | status_pb2.Status:
        """Return the operation's response, or what the status of the unary call would have been."""
        try:
            async with asyncio.timeout(ITEM_SECONDS_MAX), self._turns:
                return await operation(request)
        except PaymasterError as error:
            return status_of(error)
        except TimeoutError:
            return status_of(
                OutOfTime(
                    "The operation took too long; the outcome is unknown. Ask again, same key."
                )
            )
        except Exception:
            request_id = str(uuid_utils.uuid7())
            log.exception("item_failed", operation=operation.__name__, request_id=request_id)
            return internal_status(request_id)
