"""Taking generations in, and showing them.

The row is written first and the job is enqueued after it. Whoever dies or loses the queue in
between loses nothing: the workers' reconciler enqueues rows that no queue holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from authority.domain.callers import Caller
from authority.domain.errors import (
    GenerationStateError,
    IdempotencyKeyReused,
    InvalidRequest,
    ModelRetired,
    ModelUnpriced,
    NotFound,
    Unavailable,
    Violation,
)
from authority.domain.generations import (
    Artifact,
    Generation,
    GenerationFeed,
    GenerationFilter,
    GenerationState,
    GenerationStore,
    Jobs,
    Visibility,
)
from authority.domain.ids import tenant_of
from authority.domain.reuse import Near, Suggestion, decode_context, encode_context
from authority.usecases.decide import new_id
from authority.usecases.policies import Policies
from authority.usecases.submission_rates import Submitting, let_in
from generations import requests
from generations.catalogue import Catalogue, RetiredModel
from generations.pricing import Unpriced
from generations.settings import NO_SETTINGS, Priority, Settings
from similarity.stages import Reuse
from similarity.structured import Context

# A worker has all of them in its memory, for each generation that it makes at once.
IMAGES_BYTES_MAX = 100_000_000
_LOOK_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class GenerationContext:
    """What these use cases work with, wired by `authority.bootstrap`."""

    generations: GenerationStore
    feed: GenerationFeed
    jobs: Jobs
    policies: Policies
    catalogue: Catalogue
    today: Callable[[], date]
    near: Near
    submitting: Submitting


@dataclass(frozen=True, slots=True)
class Submission:
    """What a caller asks for; what is empty or 0 was not set."""

    idempotency_key: str
    account: str
    kind: str
    prompt: str
    model: str
    size: str
    quality: str
    count: int
    settings: Settings = NO_SETTINGS
    priority: Priority = Priority.NORMAL
    expire_after_ms: int | None = None
    parent_id: str = ""
    reuse: Reuse = Reuse.BY_POLICY
    accept_entry_id: str = ""
    context: Context | None = None


class Submitted(NamedTuple):
    """A generation that was taken in, and whether it answers an earlier call.

    `warning` is what its sender should know; it may be empty. Where there are suggestions, which
    were asked for, nothing was taken in.
    """

    generation: Generation | None
    replayed: bool
    warning: str
    suggestions: Sequence[Suggestion] = ()


async def submit(context: GenerationContext, submission: Submission, caller: Caller) -> Submitted:
    """Take a generation in.

    Raises:
        InvalidRequest: one or more fields are wrong.
        ModelRetired, ModelUnpriced: the model can't be used.
        NotFound: there is no such account.
        IdempotencyKeyReused: the key was used for another request.
        SubmissionDenied: there are too many within a minute.
        Unavailable: a store is away; the outcome may be unknown.

    """
    key = submission.idempotency_key
    tenant = tenant_of(submission.account)
    submission = await _inherit(context, submission)
    first = await context.generations.find_by_key(tenant, key)
    # A model that was retired since its generation was taken in does not change what a replay is
    # told.
    day = first.create_time.date() if first else context.today()
    checked = check(context, submission, day)
    request = requests.canonical(checked) | {
        "priority": submission.priority.value,
        "expire_after": submission.expire_after_ms,
        "parent_id": submission.parent_id,
        "reuse": submission.reuse.value,
        "accept_entry_id": submission.accept_entry_id,
        "context": encode_context(submission.context),
    }
    warning = requests.retirement_warning(context.catalogue, checked, context.today())
    if first is None:
        await context.policies.of(submission.account)
        await _check_named(context, submission, checked)
        if submission.reuse is Reuse.SUGGEST:
            near = await context.near.suggest(checked, submission.context)
            if near:
                return Submitted(None, replayed=False, warning=warning, suggestions=near)
        await let_in(context.submitting, submission.account, key, caller)
        made = await context.generations.insert(f"{tenant}/{new_id()}", key, request)
        if made is not None:
            await context.jobs.enqueue(made)
            return Submitted(made, replayed=False, warning=warning)
        # Another call with the same key was faster.
        first = await context.generations.find_by_key(tenant, key)
        assert first is not None, "generations are never deleted while a key may be used again"
    differing = requests.differing_fields(first.request, request)
    if differing:
        raise IdempotencyKeyReused(key, list(differing))
    return Submitted(first, replayed=True, warning=warning)


def check(
    context: GenerationContext, submission: Submission, day: date
) -> requests.GenerationRequest:
    """Return the request with its defaults, as of a day. Raises as `submit` does."""
    try:
        return requests.validate_request(
            account=submission.account,
            kind=submission.kind,
            prompt=submission.prompt,
            model=submission.model,
            size=submission.size,
            quality=submission.quality,
            count=submission.count or 1,
            settings=submission.settings,
            catalogue=context.catalogue,
            today=day,
        )
    except requests.InvalidRequest as error:
        raise InvalidRequest([Violation(*violation) for violation in error.violations]) from error
    except RetiredModel as error:
        raise ModelRetired(str(error), model=error.name, substitute=error.substitute) from error
    except Unpriced as error:
        raise ModelUnpriced(
            str(error), model=error.model, substitute=error.substitute or ""
        ) from error


async def _inherit(context: GenerationContext, submission: Submission) -> Submission:
    """Take from the parent what is not set: the prompt, and all else where nothing else is set."""
    if submission.prompt or not submission.parent_id:
        return submission
    parent = (await context.generations.find([submission.parent_id])).get(submission.parent_id)
    if parent is None:
        return submission  # which is refused as one that names no generation
    request = parent.request
    submission = replace(submission, prompt=str(request["prompt"]))
    if (
        submission.kind or submission.model or submission.size or submission.quality
    ) or submission.settings != NO_SETTINGS:
        return submission
    return replace(
        submission,
        kind=str(request["kind"]),
        model=str(request["model"]),
        size=str(request["size"]),
        quality=str(request["quality"]),
        count=submission.count or int(request["count"]),
        settings=Settings.decode(request["settings"]),
        context=submission.context or decode_context(request["context"]),
    )


async def _check_named(
    context: GenerationContext, submission: Submission, checked: requests.GenerationRequest
) -> None:
    """Check that what a submission names is there. A replay does not need it any more."""
    settings = submission.settings
    named = {
        f"settings.references[{index}]": name for index, name in enumerate(settings.references)
    }
    if settings.mask:
        named["settings.mask"] = settings.mask
    wrong: list[Violation] = []
    if named:
        found = await context.generations.find_artifacts(list(named.values()))
        wrong = [
            Violation(field, "is no image of a generation that SUCCEEDED; give the id of one")
            for field, name in named.items()
            if name not in found or not found[name].media_type.startswith("image/")
        ]
        size = sum(found[name].size_bytes for name in named.values() if name in found)
        if size > IMAGES_BYTES_MAX:
            text = f"have {size} bytes with the mask; at most {IMAGES_BYTES_MAX} are allowed"
            wrong.append(Violation("settings.references", text))
    parent_id = submission.parent_id
    if parent_id and parent_id not in await context.generations.find([parent_id]):
        wrong.append(Violation("parent_id", "is no generation of the tenant; give the id of one"))
    wrong += await _check_accepted(context, submission.accept_entry_id, checked)
    if wrong:
        raise InvalidRequest(wrong)


async def _check_accepted(
    context: GenerationContext, entry_id: str, checked: requests.GenerationRequest
) -> Sequence[Violation]:
    """Check that the entry that is to serve a submission is there, and may be what it asks for.

    Otherwise a worker would make, for its price, what its sender thinks to have for nothing.
    """
    if not entry_id:
        return ()
    entry = await context.near.entry(entry_id)
    if entry is None:
        return [
            Violation("accept_entry_id", "is not in the cache any more; leave it out, or ask anew")
        ]
    wanted = {"kind": checked.kind, "size": checked.size, "model": checked.model or entry.model}
    for name, value in wanted.items():
        if (has := getattr(entry, name)) != value:
            text = f"is of the {name} {has or 'none'}; name one of the same"
            return [Violation("accept_entry_id", text)]
    return ()


async def get_generations(
    context: GenerationContext, generation_ids: Sequence[str]
) -> list[Generation]:
    """Return generations in the order asked for. Raises NotFound and Unavailable."""
    found = await context.generations.find(generation_ids)
    for generation_id in generation_ids:
        if generation_id not in found:
            raise NotFound("generation", generation_id)
    return [found[generation_id] for generation_id in generation_ids]


async def list_generations(
    context: GenerationContext, wanted: GenerationFilter, before: str, limit: int
) -> list[Generation]:
    """Return a page of an account's generations, the latest first, of those older than `before`.

    Raises NotFound (the account) and Unavailable.
    """
    await context.policies.of(wanted.account)
    return await context.generations.list_generations(wanted, before, limit)


async def update_generation(
    context: GenerationContext,
    generation_id: str,
    *,
    favourite: bool | None,
    visibility: Visibility | None,
) -> Generation:
    """Change what is not None. Raises NotFound and Unavailable."""
    found = await context.generations.update(
        generation_id, favourite=favourite, visibility=visibility
    )
    if found is None:
        raise NotFound("generation", generation_id)
    return found


async def watch_generation(
    context: GenerationContext, generation_id: str, stop: asyncio.Event
) -> AsyncGenerator[Generation]:
    """Yield a generation now and at each change, until it is final.

    Raises NotFound, and Unavailable also when it is to stop.
    """
    shown: Generation | None = None
    with context.feed.watch(generation_id) as changed:
        while shown is None or not shown.is_final:
            changed.clear()
            (found,) = await get_generations(context, [generation_id])
            if found != shown:
                shown = found
                yield shown
            else:
                await _either(changed, stop)
            if stop.is_set():
                raise Unavailable("The authority is about to stop; watch another process.")


async def _either(changed: asyncio.Event, stop: asyncio.Event) -> None:
    """Wait for a change, or the end; look by oneself now and then, as a message may be lost."""
    waits = [asyncio.create_task(changed.wait()), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(waits, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def cancel_generation(context: GenerationContext, generation_id: str) -> Generation:
    """Ask for a generation to be cancelled; return it, which may have ended otherwise.

    It ends at once if it only waits. What is at work ends soon: a hold is given back, a call that
    is under way is settled by how it ends, and what was made all the same is delivered. Repeating
    is safe. Raises NotFound and Unavailable.
    """
    asked = await context.generations.cancel(generation_id)
    if asked is None:
        (asked,) = await get_generations(context, [generation_id])
    elif asked.state is GenerationState.QUEUED:
        # It waits with an attempt to settle, maybe for long: a new job sees to it now.
        await context.jobs.enqueue(asked)
    return asked


async def retry_generation(context: GenerationContext, generation_id: str) -> Generation:
    """Try a generation that FAILED anew, under a new reservation; return it as it is then.

    One that is under way is returned as it is, so that repeating makes one retry. The row is
    changed in one statement; what is not enqueued after it is found by the workers' reconciler.

    Raises GenerationStateError for the others, NotFound and Unavailable.
    """
    retried = await context.generations.retry(generation_id)
    if retried is not None:
        await context.jobs.enqueue(retried)
        return retried
    (found,) = await get_generations(context, [generation_id])
    if not found.is_final:
        return found
    if found.state is GenerationState.FAILED:
        why = "FAILED, and its deadline has passed"
    else:
        why = f"is {found.state}; only one that FAILED can be retried"
    raise GenerationStateError(generation_id, found.state, why)


async def get_artifact(context: GenerationContext, artifact_id: str) -> Artifact:
    """Return an artifact. Raises NotFound and Unavailable."""
    found = await context.generations.artifact(artifact_id)
    if found is None:
        raise NotFound("artifact", artifact_id)
    return found
