"""The authority's settings: environment variables, read once in bootstrap."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _url_of(*schemes: str) -> AfterValidator:
    """Check the form of a URL without showing it: it may hold a password."""

    def check(value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        wanted = " or ".join(f"{scheme}://" for scheme in schemes)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(
                f"must be a URL such as {schemes[0]}://user:password@host:port/name, "
                f"starting with {wanted}"
            )
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("has a port that is not a number from 0 to 65535") from None
        return value

    return AfterValidator(check)


def _check_time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("must be an IANA time zone, such as Europe/Berlin")
    return name


def _check_web_url(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("must be a URL such as https://images.example.com")
    if parts.query or parts.fragment:
        raise ValueError("must end with its path, without ? or #")
    return url.rstrip("/")


class AuthoritySettings(BaseSettings):
    """Every setting of the authority, with its variable, default and meaning."""

    # A variable that is set to nothing is one that is not set.
    model_config = SettingsConfigDict(
        env_prefix="AUTHORITY_", extra="ignore", env_ignore_empty=True
    )

    database_url: Annotated[SecretStr, _url_of("postgresql", "postgres")] = Field(
        validation_alias="DATABASE_URL", description="Postgres, which remembers."
    )
    redis_url: Annotated[SecretStr, _url_of("redis", "rediss")] = Field(
        validation_alias="REDIS_URL", description="Valkey or Redis, which decides."
    )
    token: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="PAYMASTER_TOKEN",
        description="The root token, which may do everything, such as make the first API key.",
    )
    token_file: Path | None = Field(
        default=None,
        validation_alias="PAYMASTER_TOKEN_FILE",
        description="A file that holds the root token, in place of PAYMASTER_TOKEN.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="The server's certificate and its chain, in PEM; switches TLS on.",
    )
    tls_key: Path | None = Field(
        default=None, description="The private key of AUTHORITY_TLS_CERTIFICATE, in PEM."
    )
    tls_client_ca: Path | None = Field(
        default=None, description="The CA that every caller must show a certificate of, in PEM."
    )
    host: str = Field(default="127.0.0.1", description="The address to listen on.")
    port: int = Field(default=7460, ge=0, le=65535, description="The port; 0 chooses a free one.")
    catalogue: Path | None = Field(
        default=None,
        validation_alias="PAYMASTER_CATALOGUE",
        description="A file of models and prices that go before ours; the same for all processes.",
    )
    embedder: str = Field(
        default="wordllama",
        validation_alias="PAYMASTER_EMBEDDER",
        pattern="^(wordllama|minilm|openai|none)$",
        description=(
            "What finds near prompts in the cache: `wordllama`, `minilm` (an extra), `openai` (it"
            " is paid for) or `none`; the same for all processes."
        ),
    )
    artifacts: str = Field(
        default="artifacts",
        validation_alias="PAYMASTER_ARTIFACTS",
        description="Where workers store what was made: a folder, file:// or s3://bucket/prefix.",
    )
    web_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="The port to serve artifacts to browsers on, by HTTP; none if it is not set.",
    )
    web_url: Annotated[str, AfterValidator(_check_web_url)] = Field(
        default="",
        description="Where browsers reach AUTHORITY_WEB_PORT; by default its own host and port.",
    )
    alerts_private: bool = Field(
        default=False,
        description=(
            "Let webhooks of alerts go anywhere: to addresses within the network, and by http."
        ),
    )
    smtp_url: Annotated[SecretStr, _url_of("smtp", "smtps")] | None = Field(
        default=None,
        description="The mail server that alerts are sent by; without one nobody gets e-mail.",
    )
    smtp_from: str = Field(
        default="paymaster@localhost",
        pattern=r"^[!-~]+@[!-~]+$",
        description="The address that alerts are sent from.",
    )
    alert_retention_days: int = Field(
        default=400,
        # A month's alerts are there until it has ended.
        ge=32,
        le=36500,
        description="For how many days alerts are kept, with what became of telling them.",
    )
    reuse_port: bool = Field(
        default=False, description="Let several authority processes share the port."
    )
    port_file: Path | None = Field(
        default=None, description="A file to write the port to, once it is listening."
    )
    pool_size_max: int = Field(
        default=10,
        ge=6,
        le=200,
        description="The most connections to Postgres, besides the journal's own, four at most.",
    )
    reporting_time_zone: Annotated[str, AfterValidator(_check_time_zone)] = Field(
        default="UTC",
        description=(
            "The time zone of days and hours in what is told of usage, such as Europe/Berlin; the"
            " same for all processes. After a change the past is counted anew."
        ),
    )
    usage_retention_months: int = Field(
        default=0,
        ge=0,
        le=1200,
        description="How many full months of usage events are kept; 0 keeps all. Sums stay.",
    )
    drain_seconds: float = Field(
        default=10.0, ge=0, le=300, description="How long calls may go on after SIGTERM."
    )
    clock_offset_ms: int = Field(default=0, description="Moves the clock. For tests alone.")
    log_format: str = Field(
        default="json", pattern="^(json|console)$", description="`json`, or `console` for people."
    )

    @model_validator(mode="after")
    def _read_token_file(self) -> Self:
        if self.token_file is not None and not self.token.get_secret_value():
            try:
                self.token = SecretStr(self.token_file.read_text().strip())
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"PAYMASTER_TOKEN_FILE can't be read: {error}") from None
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("AUTHORITY_TLS_CERTIFICATE and AUTHORITY_TLS_KEY: set both or neither")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError(
                "AUTHORITY_TLS_CLIENT_CA: set AUTHORITY_TLS_CERTIFICATE and AUTHORITY_TLS_KEY too"
            )
        return self


def describe(error: ValidationError) -> str:
    """Say which variables are wrong and how, without their values."""
    return "; ".join(
        f"{_variable(item['loc'])}{item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_input=False, include_url=False)
    )


def _variable(location: tuple[int | str, ...]) -> str:
    if not location:
        return ""
    name = str(location[0])
    return f"{name if name.isupper() else f'AUTHORITY_{name.upper()}'}: "
