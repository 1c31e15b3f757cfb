"""Generate `src/clients/sync` from the async clients, or check that it is fresh.

Usage: `python tools/sync_client.py [--check]`.

The async source is the only one: tokens are rewritten one by one. What really differs (sleeping,
blocking, finishing under cancellation) is in `clients/sync/concurrency.py`, written by hand.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "clients"
TARGET = SOURCE / "sync"
MODULES = (
    "channel",
    "operation_calls",
    "authority_client",
    "grant_calls",
    "ledger_calls",
    "key_calls",
    "plan_calls",
    "price_calls",
    "account_calls",
    "admin_client",
    "artifact_calls",
    "submit_calls",
    "generation_client",
    "queue_client",
    "credit_calls",
    "projection_calls",
    "usage_calls",
    "export_calls",
    "usage_client",
    "insight_client",
    "cache_client",
    "reconciliation_client",
    "health_client",
    "alert_client",
)

HEADER = "# Generated from clients/{name}.py by tools/sync_client.py; edit that one.\n"

# Names that have another form in synchronous code.
NAMES = {
    "AsyncGenerator": "Generator",
    "AsyncIterator": "Iterator",
    "aclosing": "closing",
    "asynccontextmanager": "contextmanager",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "AuthorityClient": "SyncAuthorityClient",
    "AdminClient": "SyncAdminClient",
    "GenerationClient": "SyncGenerationClient",
    "ArtifactCalls": "SyncArtifactCalls",
    "SubmitCalls": "SyncSubmitCalls",
    "QueueClient": "SyncQueueClient",
    "CacheClient": "SyncCacheClient",
    "OperationCalls": "SyncOperationCalls",
    "GrantCalls": "SyncGrantCalls",
    "LedgerCalls": "SyncLedgerCalls",
    "PlanCalls": "SyncPlanCalls",
    "PriceCalls": "SyncPriceCalls",
    "CreditCalls": "SyncCreditCalls",
    "ProjectionCalls": "SyncProjectionCalls",
    "UsageCalls": "SyncUsageCalls",
    "ExportCalls": "SyncExportCalls",
    "UsageClient": "SyncUsageClient",
    "HealthClient": "SyncHealthClient",
    "AccountCalls": "SyncAccountCalls",
    "ReconciliationClient": "SyncReconciliationClient",
    "InsightClient": "SyncInsightClient",
    "AlertClient": "SyncAlertClient",
    "Client": "SyncClient",
}
# Modules whose synchronous form is another one.
IMPORTS = {
    "clients.concurrency": "clients.sync.concurrency",
    **{f"clients.{name}": f"clients.sync.{name}" for name in MODULES},
}

# What has no synchronous form stands between these two comments.
_ASYNC_ONLY = re.compile(r"^ *# Async only:.*?^ *# End of async only\.\n", re.MULTILINE | re.DOTALL)

# What docstrings and comments say of the code.
_PROSE_NAME = re.compile(rf"\b({'|'.join(NAMES)})\b")
_PROSE_WORD = re.compile(r"\b(?:async (?=(?:def|for|with)\b)|await )")


def convert(source: str) -> str:
    """Return the synchronous form of a module's source."""
    source = _ASYNC_ONLY.sub("", source)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    line_starts = [0, *accumulate(len(line) for line in source.splitlines(keepends=True))]

    def offset(position: tuple[int, int]) -> int:
        return line_starts[position[0] - 1] + position[1]

    pieces = []
    done = 0
    for before, token, after in zip([tokens[0], *tokens], tokens, tokens[1:], strict=False):
        start, end, text = offset(token.start), offset(token.end), token.string
        if token.type in {tokenize.STRING, tokenize.COMMENT}:
            text = _PROSE_NAME.sub(lambda name: NAMES[name[0]], _PROSE_WORD.sub("", text))
        elif token.type != tokenize.NAME:
            continue
        elif text in {"async", "await"}:
            end, text = offset(after.start), ""  # the blank behind it goes too
        elif text == "aio" and before.string == ".":
            start, text = offset(before.start), ""
        else:
            text = NAMES.get(text, text)
        pieces += [source[done:start], text]
        done = end
    converted = "".join([*pieces, source[done:]])
    for module, other in IMPORTS.items():
        converted = converted.replace(f"from {module} import", f"from {other} import")
    return converted


def generate() -> dict[str, str]:
    """Return the generated modules by their names, formatted."""
    return {
        name: _formatted(HEADER.format(name=name) + convert((SOURCE / f"{name}.py").read_text()))
        for name in MODULES
    }


def _formatted(source: str) -> str:
    ruff = Path(sys.executable).parent / "ruff"
    # F401: what only async code imports.
    for command in (("check", "--fix-only", "--select", "I,F401"), ("format",)):
        name = ("--stdin-filename", str(TARGET / "module.py"))
        source = subprocess.run(
            [ruff, *command, *name, "-"],
            input=source,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        ).stdout
    return source


def stale(modules: dict[str, str]) -> list[str]:
    """Return the names of the modules that are not as they would be generated."""
    paths = {name: TARGET / f"{name}.py" for name in modules}
    return [
        name
        for name, text in modules.items()
        if not paths[name].exists() or paths[name].read_text() != text
    ]


def main() -> int:
    match sys.argv[1:]:
        case ["--check"]:
            names = stale(generate())
            if names:
                print(f"The sync client is stale: {', '.join(names)}. Run `make proto`.")
            return int(bool(names))
        case []:
            for name, text in generate().items():
                (TARGET / f"{name}.py").write_text(text)
            return 0
        case _:
            print(__doc__)
            return 2


if __name__ == "__main__":
    sys.exit(main())
