"""Fuzzes an authority on stores of its own: `make fuzz REQUESTS=100000 SEED=1`.

Its last line is one JSON object. Ends with 1 if anything was found.
"""

from __future__ import annotations

import os

# gRPC's fork handlers crash children that are started; must be said before grpc is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import argparse
import asyncio
import json
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from authority.embedded import DataDirectory, EmbeddedPostgres, EmbeddedValkey
from authority.ledger.migrate import migrate
from fuzzing.run import Fuzz, Tally, add_given_up, add_hits, logged_faults
from generating import insert_artifact
from processes import AuthorityProcess

_AT_ONCE = 64
_SHOWN = 20


async def fuzz(home: Path, requests: int, seed: int) -> bool:
    """Run, and say whether nothing was found."""
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(EmbeddedPostgres(home / "postgres"))
        valkey = await stack.enter_async_context(EmbeddedValkey(home / "valkey"))
        await migrate(postgres.url)
        (home / "authority").mkdir()
        # With a web port, to show artifacts by.
        process = AuthorityProcess(
            home / "authority", postgres.url, valkey.url, AUTHORITY_WEB_PORT="0"
        )
        stack.push_async_callback(process.close)
        stubs = await process.start()
        began = time.monotonic()
        run = Fuzz(stubs, seed)
        run.names.add("artifact_id", await insert_artifact(postgres.url, process.artifacts))
        await add_hits(run.names, postgres.url)
        await add_given_up(run.names, postgres.url)
        tally = await run.send(requests, at_once=_AT_ONCE)
        seconds = time.monotonic() - began
        differences = await stubs.differences()
        logged = logged_faults(process.log_file.read_text())
        never = [f"no valid {name} succeeded" for name in tally.never_done()]
        for what, example in tally.problems.items():
            print(f"{tally.problem_counts[what]} times {what}: {example}")
        for text in (*map(str, differences), *logged[:_SHOWN], *never):
            print(text)
        slow = [key for key in tally.by_method if key[2] == "DEADLINE_EXCEEDED"]
        print(f"out of time: {slow}")
        print(f"{seconds:.0f} s, {requests / seconds:.0f} requests a second")
        print(f"of batches and sessions: {dict(tally.by_item_code)}")
        print(json.dumps(_summary(tally, len(differences), len(logged), seed)))
        return not (tally.problems or differences or logged or never)


def _summary(tally: Tally, differences: int, logged: int, seed: int) -> dict[str, object]:
    return {
        "requests": tally.by_kind.total(),
        "by_kind": dict(tally.by_kind),
        "by_code": dict(tally.by_code),
        "internal": tally.count("INTERNAL"),
        "unknown": tally.count("UNKNOWN"),
        "problems": tally.problem_counts.total(),
        "faults_logged": logged,
        "audit_differences": differences,
        "seed": seed,
    }


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="fuzzing")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with DataDirectory(Path(tempfile.mkdtemp(prefix="paymaster-fuzz-"))) as home:
        try:
            clean = asyncio.run(fuzz(home.path, arguments.requests, arguments.seed))
        finally:
            shutil.rmtree(home.path)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
