"""`paymaster cache eval`: how often the cache's stages are wrong, measured on labelled pairs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paymaster.cli.base import choice, command
from paymaster.cli.context_fields import field_options, read_fields
from paymaster.cli.exits import CommandFailed, ExitCode
from paymaster.cli.output import Column, Output, Table, count_of, note, right
from similarity.documents import Document
from similarity.embedders.base import EmbedderFailed
from similarity.policy import Stage
from similarity.structured import RECIPE, Field, Mode, StructuredPolicy

if TYPE_CHECKING:
    from similarity.evaluation import Evaluation
    from similarity.nearest import Found

_STAGE_COLUMNS = (
    Column("stage"),
    right("false_hits"),
    right("different"),
    right("rate"),
    right("at_95%"),
    right("hits"),
    right("same"),
    right("recall"),
    right("at_95%"),
    right("added_false"),
    right("added_hits"),
)
_CANDIDATE_COLUMNS = (
    Column("candidates_by"),
    right("prompts"),
    right("found"),
    right("same"),
    right("rate"),
    right("at_95%"),
)
_KIND_COLUMNS = (Column("kind"), *_STAGE_COLUMNS[1:9])


class EmbedderName(StrEnum):
    """The embedders that run on this machine."""

    WORDLLAMA = "wordllama"
    MINILM = "minilm"


@command(name="eval", finds_stack=False)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--stage",
    "stages",
    type=choice(Stage),
    multiple=True,
    help="Judge this stage alone; may be repeated. By default all, chat outside the cascade.",
)
@field_options
@click.option(
    "--embedder",
    type=choice(EmbedderName),
    default=EmbedderName.WORDLLAMA,
    show_default="wordllama",
    help="Whose vectors find candidates, and are compared by the chat tier.",
)
async def evaluate(
    *,
    output: Output,
    file: Path,
    stages: Sequence[Stage],
    fields: Sequence[str],
    threshold: int | None,
    embedder: EmbedderName,
) -> None:
    """Measure what the cache's stages would serve of the labelled pairs in FILE.

    FILE has a JSON object on each line: the prompts a and b, the label 1 if one generation may
    serve both or else 0, and the kind of pair. Pairs with a_context and b_context are judged by the
    structured stage too. Shown are, for the cascade, each stage alone and each kind, how many of
    the different pairs would be served and how many of the same, with 95 % intervals; and how often
    the embedder finds the first prompt of a pair among the 5 nearest of all first prompts.
    """
    structured = _structured(fields, threshold)
    found = await asyncio.to_thread(_evaluate, file, stages, structured, embedder)
    tables = [_stage_table(found), _kind_table(found)]
    if found.candidates is not None:
        tables.append(_candidate_table(found.candidates, embedder))
    output.show(found.encode(), *tables)
    if found.contradiction_count and not output.as_json:
        pairs = count_of(found.contradiction_count, "pair")
        note(f"Not counted: {pairs} of one text twice, labelled as different.")


def _evaluate(
    file: Path, stages: Sequence[Stage], structured: StructuredPolicy, embedder: EmbedderName
) -> Evaluation:
    # The dictionary and the vectors take their time to load, and no other command needs them.
    from similarity.embedders.minilm import minilm  # noqa: PLC0415
    from similarity.embedders.wordllama import wordllama  # noqa: PLC0415
    from similarity.evaluation import CASCADE, evaluate, judges_of  # noqa: PLC0415
    from similarity.pairs import BadPairs, read_pairs  # noqa: PLC0415
    from similarity.wordnet import WordNetMissing  # noqa: PLC0415

    made = minilm() if embedder is EmbedderName.MINILM else wordllama()
    judges = judges_of(stages or tuple(Stage), structured=structured, embed=made.embed_now)
    try:
        with file.open("rb") as lines:
            pairs = read_pairs(lines)
        return evaluate(pairs, judges, stages or CASCADE, embed=made.embed_now)
    except BadPairs as error:
        raise CommandFailed(
            f"{file} has lines that can't be used:\n{error}", ExitCode.USAGE
        ) from None
    except (EmbedderFailed, WordNetMissing) as error:
        # Without them a look-up skips a stage; here there would be nothing to measure.
        raise CommandFailed(str(error)) from None


def _structured(fields: Sequence[str], threshold: int | None) -> StructuredPolicy:
    """Return how contexts are compared: as the options say, or as recipes are."""
    given = read_fields(fields, threshold)
    if given is None:
        return RECIPE
    made = tuple(Field(f.name, f.weight, Mode(f.mode.lower()), f.bound_ppm) for f in given.fields)
    policy = StructuredPolicy(made, given.threshold_ppm)
    document = Document.of(policy.encode(), "policy.structured")
    StructuredPolicy.read(document)
    if document.violations:
        raise click.UsageError("\n".join(f"{path}: {text}" for path, text in document.violations))
    return policy


def _stage_table(found: Evaluation) -> Table:
    rows = [["cascade", *_cells(found.cascade.encode()), "-", "-"]]
    for stage, judged in found.stages.items():
        added = [str(judged.added.false_hits), str(judged.added.hits)]
        rows.append([stage.value, *_cells(judged.alone.encode()), *added])
    return Table(_STAGE_COLUMNS, rows)


def _kind_table(found: Evaluation) -> Table:
    rows = [[kind, *_cells(tally.encode())] for kind, tally in found.kinds.items()]
    return Table(_KIND_COLUMNS, rows)


def _candidate_table(found: Found, embedder: EmbedderName) -> Table:
    counted = found.encode()
    row = [
        embedder.value,
        str(found.prompts),
        str(found.count),
        str(found.same),
        _percent(counted["found_rate"]),
        _between(counted, "found"),
    ]
    return Table(_CANDIDATE_COLUMNS, [row])


def _cells(counted: dict[str, Any]) -> list[str]:
    return [
        str(counted["false_hits"]),
        str(counted["different"]),
        _percent(counted["false_hit_rate"]),
        _between(counted, "false_hit"),
        str(counted["hits"]),
        str(counted["same"]),
        _percent(counted["recall"]),
        _between(counted, "recall"),
    ]


def _between(counted: dict[str, Any], name: str) -> str:
    return f"{_percent(counted[f'{name}_lower'])} to {_percent(counted[f'{name}_upper'])}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}%"
