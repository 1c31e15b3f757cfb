"""The limits that hold where operators have set no other: environment variables, read once."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from generations.queue_control import LIMIT_MAX, provider_subject


def _read_json(text: object) -> object:
    """Read the variable here: what is no JSON is to be named like any other wrong setting."""
    if not isinstance(text, str):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError('must be JSON such as {"fal": {"concurrency": 2}}') from None
    for provider in found if isinstance(found, dict) else ():
        provider_subject(provider)
    return found


class ProviderLimits(BaseModel):
    """The limits of one provider; 0 is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int = Field(default=0, ge=0, le=LIMIT_MAX)
    per_minute: int = Field(default=0, ge=0, le=LIMIT_MAX)


class LimitSettings(BaseSettings):
    """Every limit, with its variable, default and meaning. `paymaster:limits` overrides them."""

    model_config = SettingsConfigDict(env_prefix="WORKERS_", extra="ignore", env_ignore_empty=True)

    provider_limits: Annotated[dict[str, ProviderLimits], NoDecode, BeforeValidator(_read_json)] = (
        Field(
            default={},
            description="Limits by provider, in JSON:"
            ' `{"fal": {"concurrency": 2, "per_minute": 60}}`; 0 is no limit.',
        )
    )
    provider_concurrency: int = Field(
        default=32,
        ge=0,
        le=LIMIT_MAX,
        description="Calls at one time of a provider that is not in WORKERS_PROVIDER_LIMITS.",
    )
    account_concurrency: int = Field(
        default=100, ge=0, le=LIMIT_MAX, description="Calls at one time for one account."
    )
    breaker_failures: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Failures in a row after which a provider is left alone.",
    )
    breaker_open_s: float = Field(
        default=30.0,
        ge=0.1,
        le=3600,
        description="Seconds that it is left alone at first; twice as long each time it goes on.",
    )
    breaker_open_s_max: float = Field(
        default=600.0, ge=0.1, le=86400, description="Seconds that it is left alone at most."
    )

    def of_provider(self, provider: str) -> ProviderLimits:
        """Return the limits of a provider. The sandbox has none: it is the worker itself."""
        if provider in self.provider_limits:
            return self.provider_limits[provider]
        return ProviderLimits(concurrency=0 if provider == "sandbox" else self.provider_concurrency)
