"""What a connection is made of, checked before gRPC sees it, since gRPC would only say so later."""

from __future__ import annotations

import math
import re

# host:port, [::1]:port, or one of gRPC's own forms such as unix:/path and dns:///host:port.
_ADDRESS = re.compile(
    r"(unix|unix-abstract|dns|ipv4|ipv6):\S+|[^\s/:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}"
)
_BEARER = re.compile(r"[\x21-\x7e]+")

OPTIONS = (
    # An authority that comes back is found within a second; gRPC's own default is up to 2 minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # The authority is an internal service: its tokens and prompts have no business in a web proxy.
    ("grpc.enable_http_proxy", 0),
    # A peer that has vanished without a word is noticed under a session or a watch, which else
    # would wait for it.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # without it a missing answer counts after 60 s
    ("grpc.http2.max_pings_without_data", 0),
    # A page of 1000 generations, each with the longest prompt.
    ("grpc.max_receive_message_length", 160 * 1024 * 1024),
)


def check_address(address: str) -> str:
    """Return the address. Raises ValueError if it is no address of a gRPC server."""
    if not _ADDRESS.fullmatch(address):
        raise ValueError(
            "address must be `host:port`, such as 127.0.0.1:7460, without a scheme, "
            f"not {address!r}"
        )
    return address


def check_timeout(timeout: float) -> float:
    """Return the timeout in seconds. Raises ValueError if it bounds nothing."""
    if not 0 < timeout < math.inf:
        raise ValueError(f"timeout must be a number of seconds above 0, not {timeout!r}")
    return timeout


def metadata_for(token: str | None) -> tuple[tuple[str, str], ...]:
    """Return what every call carries. Raises ValueError, which does not show the token."""
    if not token:
        return ()
    if not _BEARER.fullmatch(token):
        raise ValueError(
            "token must be printable ASCII without spaces; was it read from a file together with "
            "its line break?"
        )
    return (("authorization", f"Bearer {token}"),)
