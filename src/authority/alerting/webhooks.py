"""Tells an alert to a URL, as Standard Webhooks says: https://www.standardwebhooks.com."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from collections.abc import AsyncIterable

import httpcore
import orjson

from authority.alerting.addresses import AddressRefused, GuardedBackend
from authority.domain.alerts import Alert
from authority.domain.deliveries import Answer, ClaimedDelivery
from authority.domain.ids import uuid_of
from authority.domain.secrets import secret_bytes

_SECONDS = {"connect": 5.0, "read": 10.0, "write": 10.0, "pool": 10.0}
_ANSWER_BYTES_MAX = 2_048
_ANSWER_LENGTH_MAX = 512
_CONNECTIONS_MAX = 64
_GONE = 410
_RETRY_DIGITS_MAX = 6
_RETRY_AFTER = b"retry-after"


class Webhooks:
    """A client of receivers. It follows nobody to another host."""

    def __init__(self, *, allow_private: bool) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=_CONNECTIONS_MAX,
            # A connection that was kept would skip the look at its address.
            max_keepalive_connections=0,
            network_backend=GuardedBackend(allow_private=allow_private),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def tell(self, delivery: ClaimedDelivery, unix_seconds: int) -> Answer:
        """Send an alert once; return what became of it."""
        body = body_of(delivery.alert)
        name = uuid_of(delivery.delivery_id)
        headers = [
            (b"content-type", b"application/json"),
            (b"user-agent", b"Paymaster"),
            (b"webhook-id", name.encode()),
            (b"webhook-timestamp", str(unix_seconds).encode()),
            (
                b"webhook-signature",
                signature_of(delivery.channel.secret, name, unix_seconds, body).encode(),
            ),
        ]
        try:
            async with self._pool.stream(
                b"POST",
                delivery.channel.url,
                headers=headers,
                content=body,
                extensions={"timeout": _SECONDS},
            ) as response:
                text = await _head(response.aiter_stream())
                return _answer(response.status, response.headers, text)
        except AddressRefused as error:
            return Answer(0, error=str(error), is_final=True)
        except (httpcore.TimeoutException, TimeoutError) as error:
            return Answer(0, error=f"no answer in time ({type(error).__name__})")
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
            ValueError,
        ) as error:
            return Answer(0, error=f"{type(error).__name__}: {error}"[:_ANSWER_LENGTH_MAX])


def body_of(alert: Alert) -> bytes:
    """Return what is sent: the same, to the byte, in every try."""
    return orjson.dumps(
        {
            "type": "alert.raised",
            "timestamp": alert.raise_time.isoformat(),
            "data": {
                "alert_id": alert.alert_id,
                "kind": alert.kind,
                "account": alert.account,
                "severity": alert.severity,
                "summary": alert.summary,
                "details": dict(alert.details),
            },
        }
    )


def signature_of(secret: str, name: str, unix_seconds: int, body: bytes) -> str:
    """Return the signature of a message by its id, the time of the try, and what is sent."""
    signed = b".".join((name.encode(), str(unix_seconds).encode(), body))
    digest = hmac.new(secret_bytes(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _answer(status: int, headers: list[tuple[bytes, bytes]], text: str) -> Answer:
    if 200 <= status < 300:
        return Answer(status, text)
    if 300 <= status < 400:
        return Answer(status, text, "it leads elsewhere, where no alert is sent")
    wait = next((value for name, value in headers if name.lower() == _RETRY_AFTER), b"")
    is_seconds = wait.isdigit() and len(wait) <= _RETRY_DIGITS_MAX
    return Answer(
        status,
        text,
        f"answered with HTTP {status}",
        is_final=status == _GONE,
        retry_ms=int(wait) * 1000 if is_seconds else 0,
    )


async def _head(stream: AsyncIterable[bytes]) -> str:
    """Return the head of an answer, as one line that can be shown."""
    content = b""
    async for chunk in stream:
        content += chunk
        if len(content) >= _ANSWER_BYTES_MAX:
            break
    text = content[:_ANSWER_BYTES_MAX].decode(errors="replace")[:_ANSWER_LENGTH_MAX]
    return "".join(letter if letter.isprintable() else " " for letter in text)
