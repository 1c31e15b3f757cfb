"""Which settings a model takes, and why it would not take those of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from generations.settings import Settings

# A style is a part of the prompt, and every chat has its bound.
TAKEN_BY_ALL = frozenset({"style", "max_tokens"})


class Refusal(NamedTuple):
    """A setting that a model does not take, and the way out."""

    setting: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepts:
    """What a model takes besides the common fields.

    `settings` names those that have no bounds of their own. `output_formats` is empty, and a bound
    0, where the model takes none. `reference_each` asks for one reference for each of the count.
    What is TAKEN_BY_ALL is not here.
    """

    settings: frozenset[str] = frozenset()
    output_formats: tuple[str, ...] = ()
    references_max: int = 0
    reference_each: bool = False
    steps_max: int = 0
    seconds_min: int = 0
    seconds_max: int = 0
    count_max: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the settings taken, in alphabetical order."""
        bounded = {
            "output_format": bool(self.output_formats),
            "references": bool(self.references_max),
            "steps": bool(self.steps_max),
            "seconds": bool(self.seconds_max),
        }
        return tuple(sorted({*self.settings, *(name for name, taken in bounded.items() if taken)}))

    def refusals(self, settings: Settings, count: int = 1) -> tuple[Refusal, ...]:
        """Return why the model would not take a request; nothing if it does."""
        found = [
            Refusal(name, f"is not taken by this model, which takes: {self._listed()}.")
            for name in settings.encode()
            if name not in TAKEN_BY_ALL and name not in self.names
        ]
        if self.output_formats and settings.output_format not in ("", *self.output_formats):
            formats = ", ".join(self.output_formats)
            found.append(Refusal("output_format", f"must be one of: {formats}."))
        if 0 < self.references_max < len(settings.references):
            most = self.references_max
            found.append(Refusal("references", f"must be at most {most} for this model."))
        if self.reference_each and len(settings.references) != count:
            found.append(Refusal("references", f"must be as many as `count` asks for: {count}."))
        if self.steps_max and (settings.steps or 0) > self.steps_max:
            found.append(Refusal("steps", f"must be at most {self.steps_max} for this model."))
        if self.seconds_max and settings.seconds is not None:
            least, most = self.seconds_min, self.seconds_max
            if not least <= settings.seconds <= most:
                found.append(Refusal("seconds", f"must be {least} to {most} for this model."))
        if self.count_max and count > self.count_max:
            found.append(Refusal("count", f"must be at most {self.count_max} for this model."))
        return tuple(found)

    def _listed(self) -> str:
        return ", ".join(self.names) or "none"


NOTHING = Accepts()
