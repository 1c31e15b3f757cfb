"""The providers that a worker can use."""

from __future__ import annotations

from workers.providers.base import Provider
from workers.providers.fal_queue import FalQueue
from workers.providers.openai_images import OpenAIImages
from workers.providers.sandbox import Sandbox
from workers.providers.settings import ProviderSettings


def live_providers(settings: ProviderSettings) -> dict[str, Provider]:
    """Return the providers that the settings switch on, by the catalogue's names for them.

    Whoever asks closes them in the end.
    """
    providers: list[Provider] = []
    if settings.openai_api_key is not None:
        providers.append(
            OpenAIImages(
                settings.openai_api_key.get_secret_value(),
                settings.openai_base_url,
                seconds_max=settings.openai_seconds_max,
            )
        )
    if settings.fal_key is not None:
        providers.append(
            FalQueue(
                settings.fal_key.get_secret_value(),
                settings.fal_queue_url,
                seconds_max=settings.fal_seconds_max,
            )
        )
    if settings.sandbox:
        providers.append(Sandbox())
    return {provider.name: provider for provider in providers}
