"""The tool that makes the sync clients: each rule on a line of code, and what is stale."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "sync_client.py"


@pytest.fixture
def tool():
    """The tool as a module."""
    spec = importlib.util.spec_from_file_location("sync_client", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("asynchronous", "synchronous"),
    [
        ("async def f(): return await g(await h())", "def f(): return g(h())"),
        ("async with AuthorityClient(x) as a: pass", "with SyncAuthorityClient(x) as a: pass"),
        ("y = [x async for x in f()]", "y = [x for x in f()]"),
        (
            "async def __aexit__(self) -> AsyncIterator[T]: ...",
            "def __exit__(self) -> Iterator[T]: ...",
        ),
        ("c = grpc.aio.insecure_channel(a)", "c = grpc.insecure_channel(a)"),
        ("from clients.channel import Client", "from clients.sync.channel import SyncClient"),
        ("from clients.convert import word", "from clients.convert import word"),
        (
            '"""Use `async with AdminClient(x)`, await it."""',
            '"""Use `with SyncAdminClient(x)`, it."""',
        ),
        ("x = '''\n  two lines'''; await f()", "x = '''\n  two lines'''; f()"),
        ("aio = awaited.asynchronous", "aio = awaited.asynchronous"),
        ("a\n# Async only: why.\nawait b\n# End of async only.\nc", "a\nc"),
    ],
)
def test_each_rule(tool, asynchronous, synchronous):
    assert tool.convert(f"{asynchronous}\n") == f"{synchronous}\n"


def test_what_is_committed_is_fresh(tool, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sync_client.py", "--check"])
    assert tool.main() == 0


def test_what_is_stale_is_named(tool, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(tool, "TARGET", tmp_path)
    monkeypatch.setattr(tool, "generate", lambda: {"channel": "new", "admin_client": "same"})
    (tmp_path / "channel.py").write_text("old")
    (tmp_path / "admin_client.py").write_text("same")
    monkeypatch.setattr(sys, "argv", ["sync_client.py", "--check"])
    assert tool.main() == 1
    assert "stale: channel. Run `make proto`." in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["sync_client.py"])
    assert tool.main() == 0
    assert (tmp_path / "channel.py").read_text() == "new"
    assert tool.stale(tool.generate()) == []
