"""Generate `src/clients/sync` from the async clients, or check that it is fresh.

Usage: `python tools/sync_client.py [--check]`.

The async source is the only one: tokens are rewritten one by one. What really differs (sleeping,
finishing under cancellation) is in `clients/sync/concurrency.py`, which is written by hand.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "clients"
TARGET = SOURCE / "sync"
MODULES = ("channel", "authority_client", "admin_client", "generation_client")

HEADER = "# Generated from clients/{name}.py by tools/sync_client.py; edit that one.\n"

# Names that have another form in synchronous code.
NAMES = {
    "AsyncIterator": "Iterator",
    "asynccontextmanager": "contextmanager",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "AuthorityClient": "SyncAuthorityClient",
    "AdminClient": "SyncAdminClient",
    "GenerationClient": "SyncGenerationClient",
    "Client": "SyncClient",
}
# Modules whose synchronous form is another one.
IMPORTS = {
    "clients.concurrency": "clients.sync.concurrency",
    **{f"clients.{name}": f"clients.sync.{name}" for name in MODULES},
}


def convert(source: str) -> str:
    """Return the synchronous form of a module's source."""
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    lines = source.splitlines(keepends=True)
    edits: list[tuple[int, int, int, str]] = []  # line, from column, to column, text
    for index, token in enumerate(tokens):
        if token.type != tokenize.NAME:
            continue
        (line, start), (_, end) = token.start, token.end
        following = tokens[index + 1]
        if token.string in {"async", "await"}:
            # The blank behind it goes too.
            edits.append((line, start, max(end, following.start[1]), ""))
        elif token.string == "aio" and tokens[index - 1].string == ".":
            edits.append((line, tokens[index - 1].start[1], end, ""))
        elif token.string in NAMES:
            edits.append((line, start, end, NAMES[token.string]))
    for line, start, end, text in sorted(edits, reverse=True):
        row = lines[line - 1]
        lines[line - 1] = row[:start] + text + row[end:]
    converted = "".join(lines)
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
    for command in (("check", "--fix-only", "--select", "I"), ("format",)):
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


def main() -> int:
    modules = generate()
    if sys.argv[1:] == ["--check"]:
        stale = [
            name
            for name, text in modules.items()
            if not (TARGET / f"{name}.py").exists() or (TARGET / f"{name}.py").read_text() != text
        ]
        if stale:
            print(f"The sync client is stale: {', '.join(stale)}. Run `make proto`.")
        return int(bool(stale))
    for name, text in modules.items():
        (TARGET / f"{name}.py").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
