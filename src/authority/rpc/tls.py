"""The server's side of TLS: its certificate, and the CA that callers' certificates must be of."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc


class BadCertificate(Exception):
    """A file of TLS can't be used; the message names its setting, and shows nothing of a key."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files, all in PEM. With `client_ca`, callers must show a certificate of that CA's."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Read the files, and make sure that they belong together. Raises BadCertificate."""
    certificate = _read("AUTHORITY_TLS_CERTIFICATE", files.certificate)
    key = _read("AUTHORITY_TLS_KEY", files.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # gRPC itself would start all the same, and then fail every handshake without a word.
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise BadCertificate(
            f"AUTHORITY_TLS_CERTIFICATE {files.certificate} and AUTHORITY_TLS_KEY {files.key} "
            f"must be a certificate and its own key, in PEM and without a password: {error}"
        ) from None
    if files.client_ca is None:
        return grpc.ssl_server_credentials([(key, certificate)])
    client_ca = _read("AUTHORITY_TLS_CLIENT_CA", files.client_ca)
    try:
        context.load_verify_locations(files.client_ca)
    except ssl.SSLError as error:
        raise BadCertificate(
            f"AUTHORITY_TLS_CLIENT_CA: {files.client_ca} has no CA certificate in PEM: {error}"
        ) from None
    return grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=client_ca, require_client_auth=True
    )


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address to listen on."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _no_password() -> str:
    """Stand in for the prompt at which OpenSSL would wait."""
    return ""


def _read(variable: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadCertificate(f"{variable}: {file} can't be read: {error.strerror}") from None
