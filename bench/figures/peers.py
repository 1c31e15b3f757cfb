"""What others offer that can be installed, each beside a session on one hot account.

They decide in Redis or Valkey and write no ledger: what they have acknowledged can be lost.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from bench.children import ROOT, Child, ChildFailed
from bench.machine import Machine, Run
from bench.report import Figure, alone, more
from bench.samples import Sample

_PYTHON = ROOT / "bench" / ".peers" / "bin" / "python"
_DATABASE = 2  # of the same Valkey
_OURS = "session hot 64, beside peers"
_PEERS = {
    "hardcap": "ledger class",
    "escrowmint": "64 threads",
    "litellm": "reservation function, 3 budgets",
}


async def measure(machine: Machine) -> list[Figure]:
    """Measure each peer that is installed; say of the others why they are absent."""
    if not _PYTHON.exists():
        return [_absent(name, "not installed; `make bench-full` does that") for name in _PEERS]
    absent: dict[str, str] = {}
    runs: dict[str, Run] = {_OURS: _ours(machine)}
    async with AsyncExitStack() as stack:
        for name in _PEERS:
            child = await Child.start("-m", "bench.peers", python=_PYTHON)
            stack.push_async_callback(child.close)
            if problem := await _problem(machine, child, name):
                absent[name] = problem
            else:
                runs[name] = _theirs(machine, child, name)
        found = await machine.contest(runs)
    ours = found.pop(_OURS).rate / 2
    return [
        *(
            more(
                "one hot account, session, 64 callers",
                ours,
                "cycles/s",
                f"{name} {_version(name)}, {_PEERS[name]}, no ledger",
                sample.rate / 2,
            )
            for name, sample in found.items()
        ),
        *(_absent(name, reason) for name, reason in absent.items()),
    ]


def _ours(machine: Machine) -> Run:
    async def run() -> Sample:
        return await machine.measure(machine.work("session cycles", machine.hot))

    return run


def _theirs(machine: Machine, child: Child, name: str, seconds: float | None = None) -> Run:
    url = machine.stores.valkey.url.removesuffix("/0") + f"/{_DATABASE}"
    work = machine.work(name, redis_url=url, seconds=seconds or machine.scale.seconds)

    async def run() -> Sample:
        return await machine.measure(work, loads=[child])

    return run


async def _problem(machine: Machine, child: Child, name: str) -> str:
    """Try a peer for a moment; return why it can't be measured, if so."""
    try:
        sample = await _theirs(machine, child, name, seconds=0.1)()
    except ChildFailed as error:
        return str(error)
    return next(iter(sample.failures), "")


def _version(name: str) -> str:
    """Return the version that is installed, from the name of the folder that says so."""
    (folder,) = _PYTHON.parents[1].glob(f"lib/python3*/site-packages/{name}-*.dist-info")
    return folder.name.removeprefix(f"{name}-").removesuffix(".dist-info")


def _absent(name: str, reason: str) -> Figure:
    return alone(f"{name} is absent", None, "", reason[:120])
