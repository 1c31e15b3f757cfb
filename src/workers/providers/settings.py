"""Which providers a worker has: environment variables, read once."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL that starts with https:// or http://")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or password; the key has a variable of its own")
    if parts.query or parts.fragment:
        raise ValueError("must end with its path, without ? or #")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number from 0 to 65535") from None
    return url.rstrip("/")


def _check_key(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("has characters that no key has, such as spaces or line breaks")
    return key


_Url = Annotated[str, AfterValidator(_check_url)]
_Key = Annotated[SecretStr, AfterValidator(_check_key)]


class ProviderSettings(BaseSettings):
    """Every setting of the providers, with its variable, default and meaning.

    Raises pydantic's ValidationError, which names the variable and does not repeat its value.
    """

    model_config = SettingsConfigDict(
        env_prefix="WORKERS_", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    sandbox: bool = Field(default=True, description="Whether the sandbox makes placeholders.")
    openai_api_key: _Key | None = Field(
        default=None,
        validation_alias="OPENAI_API_KEY",
        description="The key of OpenAI, which is used if it is given.",
    )
    openai_base_url: _Url = Field(
        default="https://api.openai.com/v1",
        validation_alias="OPENAI_BASE_URL",
        description="Where OpenAI's API is, or what speaks like it.",
    )
    openai_seconds_max: float = Field(
        default=360, gt=0, le=1800, description="How long OpenAI may take for an answer."
    )
    groq_api_key: _Key | None = Field(
        default=None,
        validation_alias="GROQ_API_KEY",
        description="The key of Groq, which is used if it is given.",
    )
    groq_base_url: _Url = Field(
        default="https://api.groq.com/openai/v1",
        validation_alias="GROQ_BASE_URL",
        description="Where Groq's API is, or what speaks like it.",
    )
    groq_seconds_max: float = Field(
        default=180, gt=0, le=1800, description="How long Groq may take for an answer."
    )
    novita_api_key: _Key | None = Field(
        default=None,
        validation_alias="NOVITA_API_KEY",
        description="The key of Novita, which is used if it is given.",
    )
    novita_base_url: _Url = Field(
        default="https://api.novita.ai",
        validation_alias="NOVITA_BASE_URL",
        description="Where all of Novita's APIs are, or what speaks like them.",
    )
    novita_seconds_max: float = Field(
        default=300, gt=0, le=1800, description="How long Novita may take for an answer or a job."
    )
    hf_token: _Key | None = Field(
        default=None,
        validation_alias="HF_TOKEN",
        description="The key of Hugging Face, which is used if it is given.",
    )
    huggingface_base_url: _Url = Field(
        default="https://router.huggingface.co/hf-inference",
        validation_alias="HUGGINGFACE_BASE_URL",
        description="Where Hugging Face's own inference is, or what speaks like it.",
    )
    huggingface_seconds_max: float = Field(
        # Its seconds are billed, and an estimate counts so many.
        default=120,
        gt=0,
        le=120,
        description="How long Hugging Face may take for an image.",
    )
    stability_api_key: _Key | None = Field(
        default=None,
        validation_alias="STABILITY_API_KEY",
        description="The key of Stability, which is used if it is given.",
    )
    stability_base_url: _Url = Field(
        default="https://api.stability.ai",
        validation_alias="STABILITY_BASE_URL",
        description="Where Stability's API is, or what speaks like it.",
    )
    stability_seconds_max: float = Field(
        default=90, gt=0, le=1800, description="How long Stability may take for an image."
    )
    fal_key: _Key | None = Field(
        default=None,
        validation_alias="FAL_KEY",
        description="The key of fal, which is used if it is given.",
    )
    fal_queue_url: _Url = Field(
        default="https://queue.fal.run",
        validation_alias="FAL_QUEUE_URL",
        description="Where fal's queue is, or what speaks like it.",
    )
    fal_seconds_max: float = Field(
        default=600, gt=0, le=3600, description="How long a job at fal may take."
    )
