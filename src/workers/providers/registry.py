"""The providers that a worker can use."""

from __future__ import annotations

from generations.models import Kind
from workers.providers.base import Provider
from workers.providers.by_kind import by_kind
from workers.providers.fal_queue import FalQueue
from workers.providers.huggingface import HuggingFace
from workers.providers.novita_images import NovitaImages
from workers.providers.openai_chat import GROQ, NOVITA, OPENAI, OpenAIChat
from workers.providers.openai_images import OpenAIImages
from workers.providers.printing import Printing
from workers.providers.sandbox import Sandbox
from workers.providers.settings import ProviderSettings
from workers.providers.stability import Stability

# Below the base URL of all of Novita's APIs: where it speaks like OpenAI.
NOVITA_CHAT_PATH = "/openai/v1"


def live_providers(settings: ProviderSettings) -> dict[str, Provider]:
    """Return the providers that the settings switch on, by the catalogue's names for them.

    One that makes several kinds is one provider; each request says its kind. Whoever asks closes
    them in the end.
    """
    made = (
        _openai(settings),
        _groq(settings),
        _novita(settings),
        _fal(settings),
        _huggingface(settings),
        _stability(settings),
        Sandbox() if settings.sandbox else None,
        Printing(),
    )
    return {provider.name: provider for provider in made if provider is not None}


def _openai(settings: ProviderSettings) -> Provider | None:
    if settings.openai_api_key is None:
        return None
    key, url = settings.openai_api_key.get_secret_value(), settings.openai_base_url
    images = OpenAIImages(key, url, seconds_max=settings.openai_seconds_max)
    chat = OpenAIChat(OPENAI, key, url, seconds_max=settings.openai_seconds_max)
    return by_kind("openai", {Kind.IMAGE: images, Kind.CHAT: chat})


def _groq(settings: ProviderSettings) -> Provider | None:
    if settings.groq_api_key is None:
        return None
    key, url = settings.groq_api_key.get_secret_value(), settings.groq_base_url
    return OpenAIChat(GROQ, key, url, seconds_max=settings.groq_seconds_max)


def _novita(settings: ProviderSettings) -> Provider | None:
    if settings.novita_api_key is None:
        return None
    key, url = settings.novita_api_key.get_secret_value(), settings.novita_base_url
    seconds_max = settings.novita_seconds_max
    chat = OpenAIChat(NOVITA, key, url + NOVITA_CHAT_PATH, seconds_max=seconds_max)
    images = NovitaImages(key, url, seconds_max=seconds_max)
    return by_kind("novita", {Kind.IMAGE: images, Kind.CHAT: chat})


def _fal(settings: ProviderSettings) -> Provider | None:
    if settings.fal_key is None:
        return None
    key, url = settings.fal_key.get_secret_value(), settings.fal_queue_url
    return FalQueue(key, url, seconds_max=settings.fal_seconds_max)


def _huggingface(settings: ProviderSettings) -> Provider | None:
    if settings.hf_token is None:
        return None
    key, url = settings.hf_token.get_secret_value(), settings.huggingface_base_url
    images = HuggingFace(key, url, seconds_max=settings.huggingface_seconds_max)
    return by_kind("huggingface", {Kind.IMAGE: images})


def _stability(settings: ProviderSettings) -> Provider | None:
    if settings.stability_api_key is None:
        return None
    key, url = settings.stability_api_key.get_secret_value(), settings.stability_base_url
    images = Stability(key, url, seconds_max=settings.stability_seconds_max)
    return by_kind("stability", {Kind.IMAGE: images})
