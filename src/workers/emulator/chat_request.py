"""Checks a request for a chat as OpenAI, Groq and Novita do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from generations.catalogue import Catalogue
from generations.models import Kind, Model, Status
from generations.pricing import Usage
from workers.emulator.openai_request import BadParameter
from workers.providers.writing import count_input_tokens, tokens, write_answer

BAND = "EMULATED · no real generation"

_TOKENS_PER_RATE = 1_000_000
_ROLES = ("system", "user", "assistant")
_PARAMETERS = {
    "max_completion_tokens",
    "messages",
    "model",
    "n",
    "seed",
    "stream",
    "stream_options",
    "temperature",
}
# What a provider takes besides, and what bounds the tokens of its answers.
_ALSO = {"openai": {"safety_identifier"}, "groq": {"user"}, "novita": {"max_tokens"}}
_LIMIT = {"novita": "max_tokens"}
_ANSWERS_MAX = {"openai": 128, "groq": 1, "novita": 128}
_TEMPERATURE_MAX = 2


@dataclass(frozen=True, slots=True)
class ChatOrder:
    """What was asked for, checked. `limit` bounds the tokens of an answer, if it is given."""

    provider: str
    model: Model
    messages: tuple[str, ...]
    variant: str
    count: int
    limit: int | None
    streamed: bool
    usage_wanted: bool

    def answers(self) -> list[list[str]]:
        """Return the tokens of each answer, the same for the same request."""
        return [
            tokens(write_answer(self.messages, variant=self.variant, index=index, band=BAND))[
                : self.limit
            ]
            for index in range(self.count)
        ]

    def usage(self, output_tokens: int) -> Usage:
        """Return the usage of so many tokens of answers."""
        return Usage(
            text_input_tokens=count_input_tokens(self.messages),
            cached_text_input_tokens=0,
            text_output_tokens=output_tokens,
        )

    def bill(self, usage: Usage) -> int:
        """Return what the catalogue bills, in micros of USD.

        It is worked out here once more, so that a fault in our pricing is seen as a difference.
        """
        rates = self.model.micros_per_million_tokens
        cost = (usage.text_input_tokens or 0) * rates["input"]
        cost += (usage.text_output_tokens or 0) * rates["output"]
        return -(-cost // _TOKENS_PER_RATE)


def read_chat(provider: str, body: dict[str, Any] | None) -> ChatOrder:
    """Return what is asked for. Raises BadParameter."""
    if body is None:
        raise BadParameter("body", "invalid_json", "We could not parse the JSON body.")
    for name in body:
        if name not in _PARAMETERS | _ALSO[provider]:
            message = f"Unrecognized request argument supplied: {name}"
            raise BadParameter(name, "unknown_parameter", message)
    limit_name = _LIMIT.get(provider, "max_completion_tokens")
    temperature = body.get("temperature", 1)
    if not isinstance(temperature, int | float) or not 0 <= temperature <= _TEMPERATURE_MAX:
        raise BadParameter("temperature", "invalid_value", "Invalid 'temperature': 0 to 2.")
    options = body.get("stream_options")
    return ChatOrder(
        provider,
        _model(provider, body.get("model")),
        _messages(body.get("messages")),
        variant=f"{body.get('seed')} {temperature}",
        count=_number(body, "n", 1, _ANSWERS_MAX[provider]) or 1,
        limit=_number(body, limit_name, 1, 1_000_000),
        streamed=body.get("stream") is True,
        usage_wanted=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _model(provider: str, name: object) -> Model:
    for model in Catalogue.load().models(Kind.CHAT):
        if (model.provider, model.name) == (provider, name):
            if model.status is not Status.RETIRED:
                return model
            message = f"The model `{name}` has been decommissioned and is no longer supported."
            raise BadParameter("model", "model_decommissioned", message)
    message = f"The model `{name}` does not exist or you do not have access to it."
    raise BadParameter("model", "model_not_found", message, status=404)


def _messages(messages: object) -> tuple[str, ...]:
    if not isinstance(messages, list) or not messages:
        raise BadParameter("messages", "invalid_value", "Invalid 'messages': empty array.")
    for number, message in enumerate(messages):
        known = isinstance(message, dict) and message.get("role") in _ROLES
        if not known or not isinstance(message.get("content"), str):
            raise BadParameter(
                f"messages[{number}]", "invalid_value", f"Invalid 'messages[{number}]'."
            )
    return tuple(message["content"] for message in messages)


def _number(body: dict[str, Any], name: str, least: int, most: int) -> int | None:
    number = body.get(name)
    if number is None:
        return None
    if type(number) is not int or not least <= number <= most:
        raise BadParameter(name, "invalid_value", f"'{name}' : must be {least} to {most}")
    return number
