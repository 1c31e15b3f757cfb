"""TLS and mutual TLS over real sockets, with certificates of a CA that lives as long as a test."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
import structlog
import trustme

from authorities import TOKEN
from authority.bootstrap import running_authority
from authority.config import AuthoritySettings
from authority.core import StartError
from authority.rpc.tls import is_loopback
from clients import (
    AdminClient,
    GenerationClient,
    GenerationState,
    Unavailable,
    Unit,
    Window,
    tls_credentials,
    tls_from_environment,
)
from clients.retry import RetryPolicy
from clients.sync import SyncAdminClient

VARIABLES = ("PAYMASTER_TLS_CA", "PAYMASTER_TLS_CERTIFICATE", "PAYMASTER_TLS_KEY")


class Certificates:
    """A CA, the server's certificate and a caller's, as files."""

    def __init__(self, folder):
        folder.mkdir()
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        self.server, self.server_key = self._issue(authority, folder / "server", "127.0.0.1")
        self.caller, self.caller_key = self._issue(authority, folder / "caller", "caller.test")

    def _issue(self, authority, place, name):
        issued = authority.issue_cert(name)
        certificate, key = place.with_suffix(".pem"), place.with_suffix(".key")
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return certificate, key


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path / "ours")


@pytest.fixture
def strangers(tmp_path):
    return Certificates(tmp_path / "theirs")


@pytest.fixture
def secure(authority_settings, certificates):
    """The settings of an authority that speaks TLS."""
    return authority_settings.model_copy(
        update={"tls_certificate": certificates.server, "tls_key": certificates.server_key}
    )


async def status(port, credentials, kind=AdminClient):
    """Ask how an authority is; None if it can't be reached that way."""
    options = {"token": TOKEN, "timeout": 5, "retry": RetryPolicy(attempts_max=1)}

    def ask():
        with kind(f"127.0.0.1:{port}", channel_credentials=credentials, **options) as admin:
            return admin.get_status()

    try:
        if kind is SyncAdminClient:
            return await asyncio.to_thread(ask)
        async with kind(f"127.0.0.1:{port}", channel_credentials=credentials, **options) as admin:
            return await admin.get_status()
    except Unavailable:
        return None


@pytest.mark.parametrize("kind", [AdminClient, SyncAdminClient])
async def test_only_who_believes_the_ca_gets_through(secure, certificates, strangers, kind):
    async with running_authority(secure) as authority:
        assert await status(authority.port, tls_credentials(certificates.ca), kind)
        assert await status(authority.port, tls_credentials(strangers.ca), kind) is None
        assert await status(authority.port, None, kind) is None


@pytest.mark.parametrize("kind", [AdminClient, SyncAdminClient])
async def test_mutual_tls_asks_for_a_certificate_of_the_ca(secure, certificates, strangers, kind):
    mutual = secure.model_copy(update={"tls_client_ca": certificates.ca})
    async with running_authority(mutual) as authority:
        own = tls_credentials(certificates.ca, certificates.caller, certificates.caller_key)
        assert await status(authority.port, own, kind)
        assert await status(authority.port, tls_credentials(certificates.ca), kind) is None
        other = tls_credentials(certificates.ca, strangers.caller, strangers.caller_key)
        assert await status(authority.port, other, kind) is None


async def test_a_certificate_is_no_token(secure, certificates):
    mutual = secure.model_copy(update={"tls_client_ca": certificates.ca})
    own = tls_credentials(certificates.ca, certificates.caller, certificates.caller_key)
    async with running_authority(mutual) as authority:
        address = f"127.0.0.1:{authority.port}"
        async with AdminClient(address, channel_credentials=own) as admin:
            with pytest.raises(Exception, match="no token"):
                await admin.get_status()


async def test_commands_and_workers_take_it_from_the_environment(secure, certificates):
    mutual = secure.model_copy(update={"tls_client_ca": certificates.ca})
    files = (certificates.ca, certificates.caller, certificates.caller_key)
    async with running_authority(mutual) as authority:
        environment = {
            "PATH": os.environ["PATH"],
            "PAYMASTER_ADDRESS": f"127.0.0.1:{authority.port}",
            "PAYMASTER_TOKEN": TOKEN,
            **dict(zip(VARIABLES, map(str, files), strict=True)),
        }
        code, said = await _run(["paymaster", "status", "--json"], environment)
        assert code == 0, said
        environment.pop("PAYMASTER_TLS_CERTIFICATE")
        code, said = await _run(["paymaster", "status"], environment)
        assert code == 2
        assert "PAYMASTER_TLS_KEY" in said
        for variable in VARIABLES:
            environment.pop(variable, None)
        assert (await _run(["paymaster", "status"], environment))[0] == 69
        worker = {
            **environment,
            "DATABASE_URL": secure.database_url.get_secret_value(),
            "REDIS_URL": secure.redis_url.get_secret_value(),
            "PAYMASTER_TLS_CA": "/does/not/exist",
        }
        code, said = await _run(["workers"], worker)
        assert code == 1
        assert "PAYMASTER_TLS_CA" in said


async def test_a_worker_spends_over_mutual_tls(secure, certificates, make_worker):
    mutual = secure.model_copy(update={"tls_client_ca": certificates.ca})
    async with running_authority(mutual) as authority:
        address = f"127.0.0.1:{authority.port}"
        worker = make_worker(
            PAYMASTER_ADDRESS=address,
            PAYMASTER_TLS_CA=str(certificates.ca),
            PAYMASTER_TLS_CERTIFICATE=str(certificates.caller),
            PAYMASTER_TLS_KEY=str(certificates.caller_key),
        )
        await worker.start()
        own = tls_credentials(certificates.ca, certificates.caller, certificates.caller_key)
        options = {"token": TOKEN, "timeout": 10, "channel_credentials": own}
        async with (
            AdminClient(address, **options) as admin,
            GenerationClient(address, **options) as generations,
        ):
            await admin.create_account("acme")
            await admin.create_budget("acme", unit=Unit.USD, window=Window.DAY, limit=1_000_000)
            made = await generations.submit("acme", "a padlock")
            (made,) = await generations.wait([made.generation_id], timeout=30)
        assert made.state is GenerationState.SUCCEEDED
        assert made.cost > 0
        await worker.close()


async def _run(words, environment):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *words,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, said.decode()


async def test_files_that_cannot_be_used_stop_the_start(secure, certificates, strangers, tmp_path):
    junk = tmp_path / "junk.pem"
    junk.write_text("-----BEGIN CERTIFICATE-----\nnothing\n")
    wrong = {
        "AUTHORITY_TLS_CERTIFICATE": [("tls_certificate", tmp_path / "none"), ("tls_key", junk)],
        "AUTHORITY_TLS_KEY": [
            ("tls_key", tmp_path / "none"),
            ("tls_key", strangers.server_key),
            ("tls_certificate", junk),
        ],
        "AUTHORITY_TLS_CLIENT_CA": [("tls_client_ca", tmp_path / "none"), ("tls_client_ca", junk)],
    }
    key = certificates.server_key.read_text().splitlines()[1]
    for variable, changes in wrong.items():
        for name, file in changes:
            with pytest.raises(StartError, match=variable) as refused:
                async with running_authority(secure.model_copy(update={name: file})):
                    pass
            assert key not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tls_certificate": "a"}, "AUTHORITY_TLS_KEY"),
        ({"tls_key": "a"}, "AUTHORITY_TLS_CERTIFICATE"),
        ({"tls_client_ca": "a"}, "AUTHORITY_TLS_CLIENT_CA"),
    ],
)
def test_settings_that_go_together_are_asked_for(changes, told):
    with pytest.raises(ValueError, match=told):
        AuthoritySettings(DATABASE_URL="postgresql://h/d", REDIS_URL="redis://h", **changes)


def test_a_callers_files_are_checked(certificates, strangers, tmp_path, monkeypatch):
    junk = tmp_path / "junk.pem"
    junk.write_text("nothing")
    for files, told in (
        ((tmp_path / "none",), "PAYMASTER_TLS_CA"),
        ((junk,), "PAYMASTER_TLS_CA"),
        ((None, certificates.caller, certificates.caller_key), "PAYMASTER_TLS_CA"),
        ((certificates.ca, certificates.caller), "PAYMASTER_TLS_KEY"),
        ((certificates.ca, None, certificates.caller_key), "PAYMASTER_TLS_CERTIFICATE"),
        ((certificates.ca, certificates.caller, strangers.caller_key), "PAYMASTER_TLS_KEY"),
        ((certificates.ca, tmp_path / "none", junk), "PAYMASTER_TLS_CERTIFICATE"),
    ):
        with pytest.raises(ValueError, match=told):
            tls_credentials(*files)
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    assert tls_from_environment() is None


async def test_plain_text_beyond_this_machine_is_warned_of(authority_settings, secure):
    for settings, warned in (
        (authority_settings, False),
        (authority_settings.model_copy(update={"host": "0.0.0.0"}), True),
        (secure.model_copy(update={"host": "0.0.0.0"}), False),
    ):
        with structlog.testing.capture_logs() as logs:
            async with running_authority(settings):
                pass
        assert any(log["event"] == "plain_text_served" for log in logs) == warned


def test_what_is_this_machine_alone():
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "[::]", "10.0.0.1", "example.org", "")))
