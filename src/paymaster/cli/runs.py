"""Many generations at once: submitted in batches, followed to their ends, fetched."""

from __future__ import annotations

import asyncio
import dataclasses
import mimetypes
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from clients import GenerationClient, Submission
from clients.errors import PaymasterError
from clients.generation_types import Artifact, Generation, Kind, Priority, Reuse, SettingsFields
from paymaster.cli.exits import CommandFailed, ExitCode

_DOWNLOADS_MAX = 4
_BATCH_MAX = 500
_POLL_SECONDS_FIRST = 0.05
_POLL_SECONDS_MAX = 0.5
_SLUG_LENGTH_MAX = 40

Item = TypeVar("Item")


class StillOpen(Exception):
    """Generations had not ended when time was over."""

    def __init__(self, count: int, seconds: float) -> None:
        super().__init__(
            f"{count} of the generations had not ended after {seconds:g} s. `paymaster status`"
            " shows the queue."
        )


@dataclass(frozen=True, slots=True)
class Steering:
    """How it shall become that, where not by the defaults."""

    priority: Priority
    expire_after: timedelta | None
    parent_id: str
    reuse: Reuse
    accept_entry_id: str
    context: Mapping[str, Sequence[str]]
    settings: SettingsFields


@dataclass(frozen=True, slots=True)
class Wanted:
    """What each prompt of a run shall become. What is empty is left to the authority's defaults."""

    account: str
    kind: Kind
    model: str
    size: str
    quality: str
    count: int
    steering: Steering


async def submit_all(
    client: GenerationClient, wanted: Wanted, prompts: Sequence[tuple[str, str]]
) -> list[Generation]:
    """Submit (key, prompt) pairs, and return their generations in the same order.

    Raises the error of the first that is refused; the others go on, and the same keys find them
    again.
    """
    submissions = [
        Submission(
            wanted.account,
            prompt,
            kind=wanted.kind,
            model=wanted.model,
            size=wanted.size,
            quality=wanted.quality,
            count=wanted.count,
            priority=wanted.steering.priority,
            expire_after=wanted.steering.expire_after,
            parent_id=wanted.steering.parent_id,
            reuse=wanted.steering.reuse,
            accept_entry_id=wanted.steering.accept_entry_id,
            context=wanted.steering.context,
            settings=wanted.steering.settings,
            idempotency_key=key,
        )
        for key, prompt in prompts
    ]
    made = []
    for outcome in await client.submit_batch(submissions):
        if isinstance(outcome, PaymasterError):
            raise outcome
        made.append(outcome)
    return made


async def follow(
    client: GenerationClient,
    generations: Sequence[Generation],
    *,
    seconds_max: float,
    on_end: Callable[[], None] = lambda: None,
) -> list[Generation]:
    """Wait until all have ended, and return them in the same order. Raises StillOpen."""
    latest = {item.generation_id: item for item in generations}
    open_ids = list(latest)
    deadline = time.monotonic() + seconds_max
    delay = _POLL_SECONDS_FIRST
    while True:
        for start in range(0, len(open_ids), _BATCH_MAX):
            for item in await client.batch_get(open_ids[start : start + _BATCH_MAX]):
                latest[item.generation_id] = item
        for ended in [name for name in open_ids if latest[name].state.final]:
            open_ids.remove(ended)
            on_end()
        if not open_ids:
            return [latest[item.generation_id] for item in generations]
        if time.monotonic() > deadline:
            raise StillOpen(len(open_ids), seconds_max)
        await asyncio.sleep(delay)
        delay = min(delay * 1.5, _POLL_SECONDS_MAX)


async def fetch_all(
    client: GenerationClient, generations: Iterable[Generation], directory: Path
) -> dict[str, list[str]]:
    """Write all artifacts into a directory, and return their paths by generation."""
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    paths: dict[str, list[str]] = {}

    async def fetch(generation: Generation) -> None:
        paths[generation.generation_id] = []
        for number, artifact in enumerate(generation.artifacts, start=1):
            path = directory / _file_name(generation, number, artifact)
            content = await client.download(artifact)
            await asyncio.to_thread(path.write_bytes, content)
            paths[generation.generation_id].append(str(path))

    await _for_each(generations, fetch, at_once=_DOWNLOADS_MAX)
    return paths


async def find_made(client: GenerationClient, name: str) -> Generation:
    """Return a generation with its artifacts, or with the one alone that is named.

    Raises CommandFailed if there is nothing to be had.
    """
    generation_id = "/".join(name.split("/")[:2])
    generation = await client.get(generation_id)
    chosen = [
        item
        for item in generation.artifacts
        if item.delete_time is None and name in (generation_id, item.artifact_id)
    ]
    if not chosen:
        raise CommandFailed(
            f"There is nothing to be had of {name}: its generation is {generation.state}, and has"
            f" {len(generation.artifacts)} artifacts, which are other ones or kept no more.",
            ExitCode.NOT_FOUND,
        )
    return dataclasses.replace(generation, artifacts=tuple(chosen))


async def download_made(
    client: GenerationClient, generation: Generation, directory: Path
) -> list[str]:
    """Write a generation's artifacts into a directory, each checked; return their paths."""
    paths = []
    try:
        await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
        for artifact in generation.artifacts:
            number = int(artifact.artifact_id.rpartition("/")[2]) + 1
            path = directory / _file_name(generation, number, artifact)
            await client.download_to(artifact, path)
            paths.append(str(path))
    except OSError as error:
        raise CommandFailed(f"{directory} can't be written to: {error.strerror}.") from error
    return paths


async def fetch_texts(
    client: GenerationClient, generations: Iterable[Generation]
) -> dict[str, list[str]]:
    """Return what was made as text, by generation; those that have none are left out."""
    texts: dict[str, list[str]] = {}

    async def fetch(generation: Generation) -> None:
        said = [
            (await client.download(artifact)).decode(errors="replace")
            for artifact in generation.artifacts
            if artifact.media_type.startswith("text/")
        ]
        if said:
            texts[generation.generation_id] = said

    await _for_each(generations, fetch, at_once=_DOWNLOADS_MAX)
    return texts


async def _for_each(
    items: Iterable[Item], action: Callable[[Item], Awaitable[None]], *, at_once: int
) -> None:
    left = iter(items)

    async def work() -> None:
        for item in left:
            await action(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
    except ExceptionGroup as errors:
        # What failed first is what to act on.
        raise errors.exceptions[0] from None


def _file_name(generation: Generation, number: int, artifact: Artifact) -> str:
    """Return a name that tells the prompt, and is another one for each artifact."""
    slug = re.sub(r"[^a-z0-9]+", "-", generation.prompt.casefold())[:_SLUG_LENGTH_MAX].strip("-")
    # The last digits of the id are its random ones.
    unique = generation.generation_id[-8:]
    suffix = mimetypes.guess_extension(artifact.media_type.partition(";")[0]) or ".bin"
    return "-".join(part for part in (slug, unique, str(number)) if part) + suffix
