"""A bucket on a server that speaks S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpx
from moto.server import ThreadedMotoServer


class Bucket(NamedTuple):
    """A bucket, and the variables by which S3's tools find its server."""

    name: str
    environment: dict[str, str]


@contextmanager
def s3_server() -> Iterator[str]:
    """Serve S3 from memory; yields the URL."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


async def make_bucket(server_url: str, name: str) -> Bucket:
    """Make a bucket."""
    async with httpx.AsyncClient() as client:
        (await client.put(f"{server_url}/{name}")).raise_for_status()
    return Bucket(
        name,
        {
            "AWS_ENDPOINT_URL": server_url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key-of-tests",
            "AWS_SECRET_ACCESS_KEY": "secret-of-tests",
        },
    )
