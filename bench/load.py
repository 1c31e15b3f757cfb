"""`python -m bench.load`: a process that makes load, as the harness tells it."""

from __future__ import annotations

import uvloop

from bench.loads.limits import commits, fsyncs, health, nothing, pipelines, scripts
from bench.loads.operations import batches, cycles, holds, reserves, touches
from bench.loads.plain import plain_cycles
from bench.runner import Kinds, serve

KINDS: Kinds = {
    "unary cycles": lambda work: cycles(work, "unary"),
    "session cycles": lambda work: cycles(work, "session"),
    "locking cycles": lambda work: cycles(work, "locking"),
    "quiet cycles": lambda work: cycles(work, "session", "quiet "),
    "health": health,
    "unary reserves": reserves,
    "holds": holds,
    "session touches": touches,
    "batches": batches,
    "plain cycles": plain_cycles,
    "commits": commits,
    "fsyncs": fsyncs,
    "nothing": nothing,
    "pipelines": pipelines,
    "scripts": scripts,
}

if __name__ == "__main__":
    uvloop.run(serve(KINDS))
