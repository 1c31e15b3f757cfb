"""Breaks everything under load, then counts: `make chaos DURATION=60 SEED=1`.

Its last line is one JSON object. Ends with 1 if anything was lost, doubled, overspent, answered
wrongly, or if the audit finds a difference.
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
from chaos.run import CLIENTS, WIDTH, run


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--duration", type=float, default=60, help="seconds of load and faults")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--width", type=int, default=WIDTH, help="reservations at once of a client")
    parser.add_argument("--logs", type=Path, help="a directory to copy the servers' logs to")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with DataDirectory(Path(tempfile.mkdtemp(prefix="paymaster-chaos-"))) as home:
        try:
            notes, summary = asyncio.run(
                run(
                    home.path,
                    arguments.duration,
                    arguments.seed,
                    clients=arguments.clients,
                    width=arguments.width,
                )
            )
        finally:
            if arguments.logs:
                _copy_logs(home.path, arguments.logs)
            shutil.rmtree(home.path)
    print(*notes, json.dumps(summary), sep="\n")
    wrong = ("lost", "doubled", "overspent", "disallowed", "audit_differences")
    return 1 if any(summary[name] for name in wrong) else 0


def _copy_logs(home: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for log in (*home.glob("*/log"), *home.glob("*/server.log")):
        shutil.copy(log, target / f"{log.parent.name}.log")


if __name__ == "__main__":
    sys.exit(main())
