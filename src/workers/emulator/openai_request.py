"""Checks a request for images as OpenAI's API does."""

from __future__ import annotations

import dataclasses
from typing import Any

from generations.models import AUTO, Model
from workers.emulator.forms import Part
from workers.emulator.pictures import Order, find_model
from workers.providers.pictures import NotAPicture, pixels, read_picture

PROVIDER = "openai"

_PROMPT_LENGTH_MAX = 32_000
_COUNT_MAX = 10
_WIDTH_MAX, _HEIGHT_MAX = 3840, 2160
_SIZE_STEP = 16
_ASPECT_MAX = 3
_AUTO_SIZE = "1024x1024"
_AUTO_QUALITY = "medium"
_FORMATS = ("png", "webp", "jpeg")
_REFERENCES_MAX = 16
_REFERENCE_TYPES = ("image/png", "image/jpeg", "image/webp")
_PARAMETERS = {
    "background",
    "complexity",
    "model",
    "moderation",
    "n",
    "output_compression",
    "output_format",
    "prompt",
    "quality",
    "safety_identifier",
    "size",
    "user",
}


class BadParameter(Exception):
    """A parameter that the real API would refuse, and its code for that."""

    def __init__(self, parameter: str, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.parameter = parameter
        self.code = code
        self.status = status


def read_order(body: dict[str, Any] | None) -> Order:
    """Return what is asked for. Raises BadParameter."""
    if body is None:
        raise BadParameter("body", "invalid_json", "We could not parse the JSON body.")
    for name in body:
        if name not in _PARAMETERS:
            raise BadParameter(name, "unknown_parameter", f"Unknown parameter: '{name}'.")
    prompt = _prompt(body.get("prompt"))
    model = _model(body.get("model"))
    size = _size(body.get("size", AUTO))
    quality = _quality(model, body.get("quality", AUTO))
    output_format = body.get("output_format", "png")
    if output_format not in _FORMATS:
        message = f"Invalid value: '{output_format}'. The emulator makes: {', '.join(_FORMATS)}."
        raise BadParameter("output_format", "invalid_value", message)
    return Order(model, prompt, size, quality, _count(body.get("n", 1)), output_format)


def read_edit(form: dict[str, list[Part]] | None) -> Order:
    """Return which edits are asked for. Raises BadParameter."""
    if form is None:
        message = "The request must be multipart/form-data."
        raise BadParameter("body", "invalid_multipart_form_data", message)
    images = form.pop("image[]", []) + form.pop("image", [])
    masks = form.pop("mask", [])
    if not 1 <= len(images) <= _REFERENCES_MAX or len(masks) > 1:
        raise BadParameter("image", "invalid_value", "Invalid 'image': 1 to 16 files, one mask.")
    for part in (*images, *masks):
        if part.media_type not in _REFERENCE_TYPES or not _is_picture(part.content):
            raise BadParameter("image", "invalid_image_file", "Invalid image file or mode.")
    body: dict[str, Any] = {name: parts[0].text for name, parts in form.items()}
    if "n" in body:
        body["n"] = int(body["n"]) if body["n"].isdecimal() else body["n"]
    order = read_order(body)
    return dataclasses.replace(order, given=tuple(part.content for part in (*images, *masks)))


def _is_picture(content: bytes) -> bool:
    try:
        read_picture(content)
    except NotAPicture:
        return False
    return True


def _prompt(prompt: object) -> str:
    if prompt is None:
        message = "Missing required parameter: 'prompt'."
        raise BadParameter("prompt", "missing_required_parameter", message)
    if not isinstance(prompt, str) or not 1 <= len(prompt) <= _PROMPT_LENGTH_MAX:
        raise BadParameter("prompt", "invalid_value", "Invalid 'prompt': not of 1 to 32000.")
    return prompt


def _model(name: object) -> Model:
    model = find_model(PROVIDER, name)
    if model is None:
        message = f"The model '{name}' does not exist or you do not have access to it."
        raise BadParameter("model", "model_not_found", message, status=404)
    return model


def _count(count: object) -> int:
    if type(count) is not int or not 1 <= count <= _COUNT_MAX:
        raise BadParameter("n", "invalid_value", f"Invalid 'n': must be 1 to {_COUNT_MAX}.")
    return count


def _quality(model: Model, quality: object) -> str:
    if quality == AUTO:
        quality = _AUTO_QUALITY
    if not isinstance(quality, str) or quality not in model.qualities:
        raise BadParameter("quality", "invalid_value", f"Invalid value: '{quality}'.")
    return quality


def _size(size: object) -> str:
    if size == AUTO:
        return _AUTO_SIZE
    try:
        width, height = pixels(str(size))
    except ValueError:
        width, height = 1, 1
    longer, shorter = max(width, height), min(width, height)
    if (
        width % _SIZE_STEP == height % _SIZE_STEP == 0
        and longer <= _ASPECT_MAX * shorter
        and longer <= _WIDTH_MAX
        and shorter <= _HEIGHT_MAX
    ):
        return str(size)
    raise BadParameter("size", "invalid_value", f"Invalid size '{size}'.")
