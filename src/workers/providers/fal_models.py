"""What each of fal's models takes: its input from a request.

What a model would refuse is refused here, where it costs nothing for sure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from generations.models import Kind, Quality
from generations.pricing import SECONDS_DEFAULT
from workers.providers.base import ProviderRequest
from workers.providers.capabilities import refuse_settings
from workers.providers.errors import InvalidRequest
from workers.providers.pictures import aspect_ratio, pixels

NAME = "fal"
IMAGES_MAX = 4


@dataclass(frozen=True, slots=True)
class _Images:
    """What a model of images takes; `steps_max` is 0 where the steps can't be chosen.

    Where `by_ratio` is set, it is told the proportions alone.
    """

    steps_max: int = 0
    by_ratio: bool = False
    has_seed: bool = True
    formats: tuple[str, ...] = ("jpeg", "png")

    @property
    def settings(self) -> set[str]:
        """The names of the settings that it takes."""
        named = {"output_format": True, "seed": self.has_seed, "steps": self.steps_max > 0}
        return {name for name, taken in named.items() if taken}


@dataclass(frozen=True, slots=True)
class _Videos:
    """What a model of videos takes, and how it writes the seconds and the resolution."""

    seconds_min: int
    seconds_max: int
    write_seconds: Callable[[int], int | str]
    write_resolution: Callable[[str], str]
    has_seed: bool = True


_IMAGES: Mapping[str, _Images] = {
    "fal-ai/flux/schnell": _Images(steps_max=12),
    "fal-ai/flux/dev": _Images(steps_max=50),
    "fal-ai/flux-pro/v1.1-ultra": _Images(by_ratio=True),
    "openai/gpt-image-2": _Images(has_seed=False, formats=("jpeg", "png", "webp")),
}
_VIDEOS: Mapping[str, _Videos] = {
    "bytedance/seedance-2.0/text-to-video": _Videos(4, 15, str, str),
    "minimax/h3/text-to-video": _Videos(5, 15, int, str.upper, has_seed=False),
}
# What nothing more is known of takes what all do.
_OTHER_IMAGES = _Images()
_OTHER_VIDEOS = _Videos(1, 60, int, str)


def read_input(request: ProviderRequest) -> dict[str, Any]:
    """Return the input of the request's model. Raises InvalidRequest."""
    if request.kind == Kind.VIDEO:
        return _video_input(request, _VIDEOS.get(request.model, _OTHER_VIDEOS))
    if request.kind == Kind.IMAGE:
        return _image_input(request, _IMAGES.get(request.model, _OTHER_IMAGES))
    raise InvalidRequest(NAME, f"It makes no {request.kind}.")


def _image_input(request: ProviderRequest, takes: _Images) -> dict[str, Any]:
    refuse_settings(NAME, request, takes.settings)
    try:
        width, height = pixels(request.size)
    except ValueError as error:
        raise InvalidRequest(NAME, str(error)) from None
    if request.count > IMAGES_MAX:
        raise InvalidRequest(
            NAME, f"At most {IMAGES_MAX} images at once; {request.count} were asked for."
        )
    body: dict[str, Any] = {"prompt": request.prompt, "num_images": request.count}
    if takes.by_ratio:
        body["aspect_ratio"] = aspect_ratio(width, height)
    else:
        body["image_size"] = {"width": width, "height": height}
    if request.quality not in tuple(Quality):
        # Our own classes mean that the model has no setting of quality.
        body["quality"] = request.quality
    settings = request.settings
    if settings.steps is not None:
        if not 1 <= settings.steps <= takes.steps_max:
            message = f"{request.model} takes 1 to {takes.steps_max} steps, not {settings.steps}."
            raise InvalidRequest(NAME, message)
        body["num_inference_steps"] = settings.steps
    if settings.seed is not None:
        body["seed"] = settings.seed
    if settings.output_format:
        if settings.output_format not in takes.formats:
            formats = ", ".join(takes.formats)
            raise InvalidRequest(
                NAME, f"{request.model} makes {formats}, not {settings.output_format}."
            )
        body["output_format"] = settings.output_format
    return body


def _video_input(request: ProviderRequest, takes: _Videos) -> dict[str, Any]:
    refuse_settings(NAME, request, {"seconds", "seed"} if takes.has_seed else {"seconds"})
    if request.count != 1:
        raise InvalidRequest(NAME, f"One video at once; {request.count} were asked for.")
    seconds = request.settings.seconds or SECONDS_DEFAULT
    if not takes.seconds_min <= seconds <= takes.seconds_max:
        raise InvalidRequest(
            NAME,
            f"{request.model} makes {takes.seconds_min} to {takes.seconds_max} seconds, "
            f"not {seconds}.",
        )
    body: dict[str, Any] = {
        "prompt": request.prompt,
        "resolution": takes.write_resolution(request.size),
        "duration": takes.write_seconds(seconds),
    }
    if request.settings.seed is not None:
        body["seed"] = request.settings.seed
    return body
