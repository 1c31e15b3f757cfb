"""Which settings each kind takes, and within which bounds.

A model may take fewer, and have narrower bounds: the catalogue has those (`generations.accepts`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from generations.accepts import TAKEN_BY_ALL
from generations.catalogue import Catalogue
from generations.catalogue_file import OUTPUT_FORMATS
from generations.models import Kind, Model
from generations.settings import Settings
from generations.styles import styles
from generations.violations import Violation, check_number, check_text, quote

NEGATIVE_PROMPT_LENGTH_MAX = 2_000
SYSTEM_LENGTH_MAX = 32_000
MESSAGE_LENGTH_MAX = 32_000
MESSAGES_MAX = 100
# All text of a chat, in UTF-8. With a token for each byte it stays below the 272,000 tokens from
# which OpenAI's prices are others.
CHAT_BYTES_MAX = 200_000
MAX_TOKENS_MAX = 32_768
TEMPERATURE_MAX = 2
# Above it, Stability and others take no seed.
SEED_MAX = 2**31 - 1
STEPS_MAX = 100
SECONDS_MAX = 60
REFERENCES_MAX = 16

KIND_SETTINGS: Mapping[Kind, tuple[str, ...]] = {
    Kind.IMAGE: (
        "negative_prompt", "seed", "steps", "style", "output_format", "references", "mask",
    ),
    Kind.CHAT: ("system", "messages", "max_tokens", "temperature", "seed"),
    Kind.VIDEO: ("negative_prompt", "seed", "style", "seconds"),
}  # fmt: skip

_ARTIFACT = re.compile(r"[^\s/]{1,63}/[0-9a-f-]{36}/\d{1,3}")


def check_settings(kind: Kind, settings: Settings, *, account: str, prompt: str) -> list[Violation]:
    """Check what any model of the kind would take."""
    taken = KIND_SETTINGS[kind]
    found = [
        Violation(
            f"settings.{name}", f"is not for {kind}, which takes: {', '.join(taken)}; leave it out."
        )
        for name in settings.encode()
        if name not in taken
    ]
    if kind is Kind.CHAT:
        found += _check_chat(settings, prompt)
    else:
        found += _check_picture(settings, account.partition("/")[0])
    seen = {violation.field for violation in found}
    bounded = (
        *check_number("settings.seed", settings.seed, 0, SEED_MAX),
        *check_number("settings.steps", settings.steps, 1, STEPS_MAX),
        *check_number("settings.seconds", settings.seconds, 1, SECONDS_MAX),
        *check_number("settings.max_tokens", settings.max_tokens, 1, MAX_TOKENS_MAX),
        *check_number("settings.temperature", settings.temperature, 0, TEMPERATURE_MAX),
    )
    return [*found, *(violation for violation in bounded if violation.field not in seen)]


def check_model_settings(
    catalogue: Catalogue, kind: Kind, model: Model | None, settings: Settings, count: int
) -> list[Violation]:
    """Check what the model takes, or any of the kind's default models if none is named."""
    if model is not None:
        return [
            Violation(name if name == "count" else f"settings.{name}", message)
            for name, message in model.accepts.refusals(settings, count)
        ]
    used = [name for name in settings.encode() if name not in TAKEN_BY_ALL]
    if not used or catalogue.takers(kind, settings, count):
        return []
    together = " and ".join(used)
    return [
        Violation(
            f"settings.{used[0]}",
            f"no default model takes {together} as given; name a model that does, or leave it out.",
        )
    ]


def _check_chat(settings: Settings, prompt: str) -> list[Violation]:
    found = check_text("settings.system", settings.system, SYSTEM_LENGTH_MAX)
    if len(settings.messages) > MESSAGES_MAX:
        given = len(settings.messages)
        found.append(Violation("settings.messages", f"are {given}; at most {MESSAGES_MAX}."))
    for index, message in enumerate(settings.messages[:MESSAGES_MAX]):
        field = f"settings.messages[{index}].content"
        if not message.content.strip():
            found.append(Violation(field, "is empty; leave the message out."))
        found += check_text(field, message.content, MESSAGE_LENGTH_MAX)
    if found:
        return found
    texts = (prompt, settings.system, *(message.content for message in settings.messages))
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    if size > CHAT_BYTES_MAX:
        too_long = (
            f"make {size} bytes with prompt and system; at most {CHAT_BYTES_MAX} are allowed."
        )
        found.append(Violation("settings.messages", too_long))
    return found


def _check_picture(settings: Settings, tenant: str) -> list[Violation]:
    field = "settings.negative_prompt"
    found = check_text(field, settings.negative_prompt, NEGATIVE_PROMPT_LENGTH_MAX)
    if settings.style and settings.style not in styles():
        known = ", ".join(styles())
        message = f"{quote(settings.style)} is no style; must be one of: {known}."
        found.append(Violation("settings.style", message))
    if settings.output_format not in ("", *OUTPUT_FORMATS):
        formats = ", ".join(OUTPUT_FORMATS)
        message = f"{quote(settings.output_format)} is unknown; must be one of: {formats}."
        found.append(Violation("settings.output_format", message))
    if len(settings.references) > REFERENCES_MAX:
        message = f"are {len(settings.references)}; at most {REFERENCES_MAX} are allowed."
        found.append(Violation("settings.references", message))
    found += _check_images(settings, tenant)
    return found


def _check_images(settings: Settings, tenant: str) -> list[Violation]:
    """Check what is given as images, as far as their ids tell."""
    named = {
        f"settings.references[{index}]": reference
        for index, reference in enumerate(settings.references[:REFERENCES_MAX])
    }
    if settings.mask and settings.references:
        named["settings.mask"] = settings.mask
    found = [
        Violation(field, f"{quote(image)} is no artifact of the tenant; give an artifact's id.")
        for field, image in named.items()
        if not _ARTIFACT.fullmatch(image) or image.partition("/")[0] != tenant
    ]
    if settings.mask and not settings.references:
        message = "has nothing to mask; give the image as settings.references."
        found.append(Violation("settings.mask", message))
    return found
