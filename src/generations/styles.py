"""Style presets: what a named style adds to a prompt, where it is sent to a provider.

What a user asked for is kept as it was written; nobody but the provider sees the rest.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from generations.models import Model
from generations.settings import Settings


@dataclass(frozen=True, slots=True)
class Style:
    """A preset: what is added to the prompt, and what the picture shall not have."""

    name: str
    suffix: str
    negative_prompt: str
    note: str


@cache
def styles() -> Mapping[str, Style]:
    """Return the presets by name, in the file's order."""
    text = resources.files("generations").joinpath("styles.toml").read_text(encoding="utf-8")
    tables: dict[str, dict[str, str]] = tomllib.loads(text)
    return MappingProxyType({name: Style(name=name, **table) for name, table in tables.items()})


def steered(model: Model, prompt: str, settings: Settings) -> tuple[str, Settings]:
    """Return the prompt and the settings that are sent to a model, its style worked in.

    What the preset would keep out is left to chance where the model can't be told so; a negative
    prompt of the user's own is refused for such a model. A style that is gone adds nothing.
    """
    negative = settings.negative_prompt
    style = styles().get(settings.style)
    if style is not None:
        prompt = f"{prompt.rstrip()}, {style.suffix}"
        negative = ", ".join(part for part in (negative, style.negative_prompt) if part)
    if model.negative_in_prompt and negative:
        prompt = f"{prompt}\nAvoid: {negative}"
    if model.negative_in_prompt or "negative_prompt" not in model.accepts.settings:
        negative = ""
    if settings.style or negative != settings.negative_prompt:
        settings = dataclasses.replace(settings, style="", negative_prompt=negative)
    return prompt, settings
