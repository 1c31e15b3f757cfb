"""The answers of many operations that were sent together: each its own, and none in the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
import uuid_utils
from google.rpc import status_pb2

from authority.domain.errors import PaymasterError
from authority.rpc.status import internal_status, status_of

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

log = structlog.get_logger(__name__)


async def outcome_of(
    operation: Callable[[_Request], Awaitable[_Response]], request: _Request
) -> _Response | status_pb2.Status:
    """Return the operation's response, or what the status of the unary call would have been."""
    try:
        return await operation(request)
    except PaymasterError as error:
        return status_of(error)
    except Exception:
        request_id = str(uuid_utils.uuid7())
        log.exception("item_failed", operation=operation.__name__, request_id=request_id)
        return internal_status(request_id)
