"""Generate `src/authority/v1` from `proto/`, check that it is fresh, and lint the protos.

Usage: `python tools/protos.py generate | check | lint`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GENERATED = Path("authority/v1")


def _protoc(*outputs: str) -> None:
    """Run the pinned protoc over every proto. google/api and google/rpc come from their wheel."""
    includes = [
        f"-I{PROTO}",
        f"-I{distribution('googleapis-common-protos').locate_file('')}",
        f"-I{distribution('grpcio-tools').locate_file('grpc_tools/_proto')}",
    ]
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *includes, *outputs, *sources],
        cwd=PROTO,
        check=True,
    )


def generate(target: Path) -> None:
    """Write messages, stubs and their typing below `target`."""
    target.mkdir(parents=True, exist_ok=True)
    _protoc(
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--plugin=protoc-gen-mypy={Path(sys.executable).parent / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet:{target}",
    )


def _generated(root: Path) -> dict[str, str]:
    return {
        path.name: path.read_text()
        for path in sorted((root / GENERATED).glob("*_pb2*"))
        if path.is_file()
    }


def check() -> int:
    """Say whether the committed code is what the protos generate."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh, committed = _generated(Path(scratch)), _generated(ROOT / "src")
    stale = sorted(
        name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name)
    )
    if stale:
        print(f"Generated code is stale: {', '.join(stale)}. Run `make proto`.")
        return 1
    return 0


def lint() -> int:
    """Run buf's STANDARD and COMMENTS rules over an image that protoc built."""
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "image.binpb"
        _protoc(f"--descriptor_set_out={image}", "--include_imports", "--include_source_info")
        buf = Path(sys.executable).parent / "buf"
        # buf reads its rules as JSON too, which spares a file of its own for two lines.
        rules = '{"version":"v2","lint":{"use":["STANDARD","COMMENTS"],"ignore":["google"]}}'
        return subprocess.run(
            [buf, "lint", str(image), "--config", rules], cwd=ROOT, check=False
        ).returncode


def main() -> int:
    match sys.argv[1:]:
        case ["generate"]:
            generate(ROOT / "src")
            return 0
        case ["check"]:
            return check()
        case ["lint"]:
            return lint()
        case _:
            print(__doc__)
            return 2


if __name__ == "__main__":
    sys.exit(main())
