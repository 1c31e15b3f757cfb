"""Jobs in fal's queue: what was asked for, what becomes of it, what it costs and what it made."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from generations.catalogue_file import PIXELS_PER_MEGAPIXEL
from generations.models import Model
from workers.emulator.journal import Call
from workers.emulator.pictures import Order
from workers.emulator.scenarios import Rule, Scenario, Step
from workers.providers.pictures import pixels

_IMAGES_MAX = 4
_PRESETS = {
    "square_hd": "1024x1024",
    "square": "512x512",
    "portrait_4_3": "768x1024",
    "portrait_16_9": "576x1024",
    "landscape_4_3": "1024x768",
    "landscape_16_9": "1024x576",
}

Faults = list[dict[str, Any]]


@dataclass(slots=True)
class Job:
    """A job. It has an order, or faults in its input; `call` is its submission.

    `ready` is the loop's time at which it is done, `asked` whether anyone has asked for it yet.
    """

    job_id: str
    model: Model
    order: Order | None
    faults: Faults
    fate: Rule | None
    call: Call
    ready: float
    asked: bool = False

    @property
    def application(self) -> str:
        """What its URLs begin with: the model without its sub-path."""
        return "/".join(self.model.name.split("/")[:2])

    @property
    def scenario(self) -> Scenario | None:
        """What the orders say becomes of it."""
        return self.fate.scenario if self.fate else None

    @property
    def units(self) -> Decimal:
        """What is billed for it, in the units of its model."""
        if self.order is None or self.scenario in (Scenario.JOB_STUCK, Scenario.JOB_FAILED):
            return Decimal(0)
        if self.fate and self.scenario is Scenario.REFUSED and self.fate.step is Step.SUBMIT:
            return Decimal(0)
        if self.model.micros_per_megapixel is None:
            return Decimal(self.order.count)
        width, height = pixels(self.order.size)
        return Decimal(width * height * self.order.count) / PIXELS_PER_MEGAPIXEL

    def status(self, now: float) -> str:
        """Return how far it is; whoever asks first finds it waiting, whatever its speed."""
        if not self.asked:
            return "IN_QUEUE"
        if self.scenario is Scenario.JOB_STUCK or now < self.ready:
            return "IN_PROGRESS"
        return "COMPLETED"

    def refusal(self) -> Faults:
        """Return why the model has rejected it; nothing if it has not."""
        if self.scenario is Scenario.REFUSED:
            message = "The content could not be processed because it was flagged."
            return [_fault("content_policy_violation", message, "prompt")]
        return self.faults


def read_order(model: Model, body: dict[str, Any]) -> tuple[Order | None, Faults]:
    """Return what is asked for, or what is wrong with it, which the model says in its result."""
    prompt, count = body.get("prompt"), body.get("num_images", 1)
    quality = body.get("quality", model.default_quality)
    size = body.get("image_size", "landscape_4_3")
    if isinstance(size, dict):
        size = f"{size.get('width')}x{size.get('height')}"
    size = _PRESETS.get(str(size), str(size))
    faults = []
    if not isinstance(prompt, str) or not prompt:
        faults.append(_fault("missing", "Field required", "prompt"))
    if type(count) is not int or not 1 <= count <= _IMAGES_MAX:
        message = f"Input should be 1 to {_IMAGES_MAX}"
        faults.append(_fault("less_than_equal", message, "num_images"))
    try:
        pixels(size)
    except ValueError:
        faults.append(_fault("value_error", "Invalid image size", "image_size"))
    if quality not in model.qualities:
        faults.append(_fault("literal_error", "Invalid quality", "quality"))
    if faults:
        return None, faults
    return Order(model, str(prompt), size, str(quality), count), []


async def result_of(job: Job, order: Order, files_url: str) -> dict[str, Any]:
    """Return what a job has made; the files lie below `files_url`."""
    width, height = pixels(order.size)
    urls = [f"{files_url}/{job.job_id}/{index}.png" for index in range(order.count)]
    if job.scenario is Scenario.JOB_INLINE:
        contents = [await order.draw(index) for index in range(order.count)]
        urls = [f"data:image/png;base64,{base64.b64encode(data).decode()}" for data in contents]
    return {
        "images": [
            {"url": url, "width": width, "height": height, "content_type": "image/png"}
            for url in urls
        ],
        "timings": {"inference": 0.5},
        "seed": 42,
        "has_nsfw_concepts": [job.scenario is Scenario.JOB_WITHHELD] * order.count,
        "prompt": order.prompt,
    }


def _fault(kind: str, message: str, field: str) -> dict[str, Any]:
    return {"loc": ["body", field], "msg": message, "type": kind}
