"""Where webhooks may go: an authority reaches what nobody else should, and is told where to call.

Each name is resolved here, once, every address of it is looked at, and the connection is made to
one of those that were: so no second look-up leads anywhere else. TLS still asks for the name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpcore

# Behind these an IPv4 address is part of an IPv6 address.
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))

Option = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class AddressRefused(httpcore.ConnectError):
    """The host is within the network, where webhooks may not go."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses of the public internet alone, unless others are allowed."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # The pool calls it so.
        local_address: str | None = None,
        socket_options: Iterable[Option] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a host. Raises ConnectError, AddressRefused."""
        addresses = await _resolve(host, port)
        if not self._allow_private and not all(map(is_public, addresses)):
            raise AddressRefused(f"{host} is within the network, where webhooks may not go")
        problem: Exception | None = None
        for address in addresses:
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem or httpcore.ConnectError(f"{host} has no address")


def is_public(text: str) -> bool:
    """Say whether an address is one of the public internet."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(str(inner))
        if address.is_site_local:
            return False  # Given up for others, and still the network's own where it is used.
    return address.is_global and not address.is_multicast


def _inner(address: IPv6Address) -> IPv4Address | None:
    if any(address in network for network in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} has no address: {error}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
