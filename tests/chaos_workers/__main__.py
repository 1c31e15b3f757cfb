"""Breaks the workers and all that they stand on, then counts: `make chaos-workers DURATION=60`.

Its last line is one JSON object. Ends with 1 if a generation was lost, if what was charged is not
what the providers have done, if a job was submitted twice, if anything stays held, if a provider
had more at once than it may, or if the audit finds a difference.
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
from pathlib import Path

from authority.embedded import DataDirectory
from chaos_workers.run import GENERATIONS, run


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="chaos_workers")
    parser.add_argument("--duration", type=float, default=60, help="seconds of load and faults")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--generations", type=int, default=GENERATIONS)
    parser.add_argument("--logs", type=Path, help="a directory to copy the processes' logs to")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with DataDirectory(Path(tempfile.mkdtemp(prefix="paymaster-chaos-"))) as home:
        try:
            notes, summary = asyncio.run(
                run(home.path, arguments.duration, arguments.seed, arguments.generations)
            )
        finally:
            if arguments.logs:
                _copy_logs(home.path, arguments.logs)
            shutil.rmtree(home.path)
    print(*notes, json.dumps(summary), sep="\n")
    wrong = (
        "lost",
        "unexplained_micros",
        "reserved_micros",
        "duplicate_submits",
        "audit_differences",
    )
    too_many = summary["concurrency_max"] > summary["concurrency_cap"]
    return 1 if too_many or any(summary[name] for name in wrong) else 0


def _copy_logs(home: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for log in home.rglob("*log"):
        if log.is_file():
            shutil.copy(log, target / f"{log.parent.name}-{log.name}")


if __name__ == "__main__":
    sys.exit(main())
