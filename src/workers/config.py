"""The workers' settings: environment variables, read once in main."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from generations.models import Kind
from workers.limits import LimitSettings


def _check_database_url(url: SecretStr) -> SecretStr:
    """Check the form without showing it: it may hold a password."""
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname:
        raise ValueError("must be a URL such as postgresql://user:password@host:5432/name")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number from 0 to 65535") from None
    return url


class WorkerSettings(LimitSettings):
    """Every setting of a worker, with its variable, default and meaning.

    Those of the limits are in workers/limits, those of the providers in workers/providers.
    """

    # A variable that is set to nothing is one that is not set.
    model_config = SettingsConfigDict(env_prefix="WORKERS_", extra="ignore", env_ignore_empty=True)

    database_url: Annotated[SecretStr, AfterValidator(_check_database_url)] = Field(
        validation_alias="DATABASE_URL", description="Postgres, where the generations are."
    )
    redis_url: SecretStr = Field(
        validation_alias="REDIS_URL", description="Valkey or Redis, where the queues are."
    )
    address: str = Field(
        default="127.0.0.1:7460",
        validation_alias="PAYMASTER_ADDRESS",
        description="The authority's host:port.",
    )
    token: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="PAYMASTER_TOKEN",
        description="A token of the authority's, with the scope SPEND for all tenants.",
    )
    token_file: Path | None = Field(
        default=None,
        validation_alias="PAYMASTER_TOKEN_FILE",
        description="A file that holds the token, in place of PAYMASTER_TOKEN.",
    )
    tls_ca: Path | None = Field(
        default=None,
        validation_alias="PAYMASTER_TLS_CA",
        description="The CA of the authority's certificate, in PEM; switches TLS on.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        validation_alias="PAYMASTER_TLS_CERTIFICATE",
        description="What an authority is shown that asks for a certificate, in PEM.",
    )
    tls_key: Path | None = Field(
        default=None,
        validation_alias="PAYMASTER_TLS_KEY",
        description="The private key of PAYMASTER_TLS_CERTIFICATE, in PEM.",
    )
    catalogue: Path | None = Field(
        default=None,
        validation_alias="PAYMASTER_CATALOGUE",
        description="A file of models and prices that go before ours; the same for all processes.",
    )
    artifacts: str = Field(
        default="artifacts",
        validation_alias="PAYMASTER_ARTIFACTS",
        description="Where to store what was made: a folder, file:// or s3://bucket/prefix.",
    )
    image_slots: int = Field(
        default=8, ge=0, le=200, description="How many images to make at once; 0 leaves them."
    )
    chat_slots: int = Field(
        default=16, ge=0, le=200, description="How many chats to answer at once; 0 leaves them."
    )
    video_slots: int = Field(
        default=4, ge=0, le=200, description="How many videos to make at once; 0 leaves them."
    )
    lease_s: float = Field(
        default=15.0,
        ge=0.5,
        le=300,
        description="Seconds after which the work of a dead worker is taken over.",
    )
    completion_wait_s: int = Field(
        default=370,
        ge=0,
        le=3600,
        description="Seconds that running generations may take to end after SIGTERM.",
    )
    reconcile_s: float = Field(
        default=10.0, ge=0.1, le=3600, description="Seconds between two searches for lost jobs."
    )
    retention_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="Days after which what was made is deleted, unless it is a favourite.",
    )
    metrics_port: int | None = Field(
        default=None, ge=1, le=65_535, description="The port of metrics for Prometheus, if any."
    )
    metrics_host: str = Field(default="127.0.0.1", description="The address of metrics.")
    embedder: str = Field(
        default="wordllama",
        validation_alias="PAYMASTER_EMBEDDER",
        pattern="^(wordllama|minilm|openai|none)$",
        description=(
            "What finds near prompts in the cache: `wordllama`, `minilm` (an extra), `openai` (it"
            " is paid for) or `none`; the same for all processes."
        ),
    )
    log_format: str = Field(
        default="json", pattern="^(json|console)$", description="`json`, or `console` for people."
    )

    @property
    def slots(self) -> dict[Kind, int]:
        """How many generations of each kind to run at once; without kinds that it leaves."""
        slots = {Kind.IMAGE: self.image_slots, Kind.CHAT: self.chat_slots}
        slots[Kind.VIDEO] = self.video_slots
        return {kind: count for kind, count in slots.items() if count}

    @model_validator(mode="after")
    def _check_slots(self) -> Self:
        if not self.slots:
            raise ValueError(
                "One of WORKERS_IMAGE_SLOTS, WORKERS_CHAT_SLOTS and WORKERS_VIDEO_SLOTS must be"
                " more than 0"
            )
        return self

    @model_validator(mode="after")
    def _read_token_file(self) -> Self:
        if self.token_file is not None and not self.token.get_secret_value():
            try:
                self.token = SecretStr(self.token_file.read_text().strip())
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"PAYMASTER_TOKEN_FILE can't be read: {error}") from None
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
    return f"{name if name.isupper() else f'WORKERS_{name.upper()}'}: "
