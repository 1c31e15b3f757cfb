"""TLS to the authority: whose certificate is believed, and what this caller shows of itself."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import grpc

CA_VARIABLE = "PAYMASTER_TLS_CA"
CERTIFICATE_VARIABLE = "PAYMASTER_TLS_CERTIFICATE"
KEY_VARIABLE = "PAYMASTER_TLS_KEY"


def tls_from_environment() -> grpc.ChannelCredentials | None:
    """Return what the three PAYMASTER_TLS variables say; None if none is set.

    Raises ValueError as `tls_credentials` does.
    """
    ca, certificate, key = (
        Path(value).expanduser() if (value := os.environ.get(name)) else None
        for name in (CA_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE)
    )
    return tls_credentials(ca, certificate, key)


def tls_credentials(
    ca: Path | None, certificate: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials | None:
    """Return `channel_credentials` for a client; None, which is plain text, if nothing is given.

    `ca` is a PEM file with the CA of the authority's certificate. `certificate` and `key` are this
    caller's own, for an authority that asks for them. Raises ValueError, which names the variable
    whose file can't be used.
    """
    if ca is None:
        if certificate or key:
            raise ValueError(f"{CA_VARIABLE} must be set with {CERTIFICATE_VARIABLE}")
        return None
    if (certificate is None) != (key is None):
        raise ValueError(f"{CERTIFICATE_VARIABLE} and {KEY_VARIABLE}: set both or neither")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    roots = _read(CA_VARIABLE, ca)
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise ValueError(f"{CA_VARIABLE}: {ca} has no CA certificate in PEM: {error}") from None
    if certificate is None or key is None:
        return grpc.ssl_channel_credentials(roots)
    chain, private = _read(CERTIFICATE_VARIABLE, certificate), _read(KEY_VARIABLE, key)
    try:
        # gRPC itself would only say that the authority can't be reached.
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(
            f"{CERTIFICATE_VARIABLE} {certificate} and {KEY_VARIABLE} {key} must be a certificate "
            f"and its own key, in PEM and without a password: {error}"
        ) from None
    return grpc.ssl_channel_credentials(roots, private, chain)


def _no_password() -> str:
    """Stand in for the prompt at which OpenSSL would wait."""
    return ""


def _read(variable: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{variable}: {file} can't be read: {error.strerror}") from None
