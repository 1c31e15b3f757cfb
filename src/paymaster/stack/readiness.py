"""When a program of the stack is ready, asked from the authority itself."""

from __future__ import annotations

import asyncio

from clients import AdminClient
from clients.types import WorkerStatus

_POLL_SECONDS = 0.05


async def worker_ready(address: str, token: str, pid: int) -> WorkerStatus:
    """Wait until the authority knows the worker with that process id, and return its status."""
    async with AdminClient(address, token=token) as admin:
        while True:
            status = await admin.get_status()
            for worker in status.workers:
                # A worker's name is its host and process id.
                if worker.worker.endswith(f":{pid}"):
                    return worker
            await asyncio.sleep(_POLL_SECONDS)
