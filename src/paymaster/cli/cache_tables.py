"""What the similarity cache has and has done, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from clients.cache_types import CacheEntry, CacheHit, CachePolicy, CacheStats, HitReport
from clients.generation_types import ReuseSuggestion
from paymaster.cli.documents import time_text
from paymaster.cli.money import format_usd
from paymaster.cli.output import Column, Table, minor, right, wide
from paymaster.cli.shares import share_text
from paymaster.cli.times import span_word

_TOTALS = (
    right("lookups"),
    right("hits"),
    right("hit_rate"),
    right("joined"),
    right("saved"),
    right("reversed"),
    minor("matches"),
    right("mismatches"),
    minor("samples"),
    minor("judged"),
    right("entries"),
)
_STAGES = (
    Column("stage"),
    right("hits"),
    right("saved"),
    right("reversed"),
    right("matches"),
    right("mismatches"),
)
_SKIPS = (Column("skipped_stage"), Column("reason"), right("count"))
_BINS = (
    minor("tenant"),
    Column("gate"),
    right("bin"),
    right("matches"),
    right("mismatches"),
    right("bound"),
    Column("state"),
)
_USES = (
    Column("most_used_entry"),
    right("hits"),
    right("saved"),
    minor("model"),
    wide("prompt"),
)
_ENTRIES = (
    Column("entry_id"),
    Column("kind"),
    Column("model"),
    minor("size"),
    minor("quality"),
    Column("status"),
    minor("strikes"),
    right("hits"),
    right("saved"),
    minor("last_use_time"),
    minor("expire_time"),
    wide("prompt"),
)
_HITS = (
    Column("served"),
    minor("account"),
    Column("stage"),
    right("score"),
    right("saved"),
    Column("verdict"),
    minor("create_time"),
    minor("book_time"),
    minor("reverse_time"),
    wide("prompt"),
)
_SUGGESTIONS = (
    Column("entry_id"),
    right("score"),
    Column("stage"),
    Column("objection"),
    right("saves"),
    minor("model"),
    wide("prompt"),
)
_REPORT = (
    Column("generation_id"),
    Column("verdict"),
    Column("stage"),
    right("reversed"),
    Column("entry_id"),
    right("strikes"),
    Column("entry_status"),
)
_POLICY = (Column("field"), Column("value"))
_FIELDS = (Column("context_field"), Column("mode"), right("weight"), right("bound"))


def stats_tables(stats: CacheStats) -> list[Table]:
    """Return the totals, and a table for each list that has something."""
    totals = [
        str(stats.lookup_count),
        str(stats.hit_count),
        share_text(stats.hit_rate_ppm),
        str(stats.join_count),
        format_usd(stats.saved),
        format_usd(stats.reversed),
        *map(str, (stats.match_count, stats.mismatch_count, stats.sample_count)),
        *map(str, (stats.judged_sample_count, stats.entry_count)),
    ]
    tables = [Table(_TOTALS, [totals])]
    stages = [
        [
            stage.stage,
            str(stage.hit_count),
            format_usd(stage.saved),
            format_usd(stage.reversed),
            str(stage.match_count),
            str(stage.mismatch_count),
        ]
        for stage in stats.stages
    ]
    skips = [[skip.stage, skip.reason, str(skip.count)] for skip in stats.skips]
    bins = [
        [
            item.tenant,
            item.stage,
            str(item.bin),
            str(item.match_count),
            str(item.mismatch_count),
            share_text(item.bound_ppm),
            "open" if item.open else "closed",
        ]
        for item in stats.bins
    ]
    uses = [
        [use.entry_id, str(use.hit_count), format_usd(use.saved), use.model or "-", use.prompt]
        for use in stats.top_entries
    ]
    for columns, rows in ((_STAGES, stages), (_SKIPS, skips), (_BINS, bins), (_USES, uses)):
        if rows:
            tables.append(Table(columns, rows))
    return tables


def entry_table(entries: Sequence[CacheEntry]) -> Table:
    """Return entries as a table."""
    return Table(
        _ENTRIES,
        [
            [
                item.entry_id,
                item.kind,
                item.model,
                item.size or "-",
                item.quality,
                item.status,
                str(item.strike_count),
                str(item.hit_count),
                format_usd(item.saved),
                time_text(item.last_use_time),
                time_text(item.expire_time),
                item.prompt,
            ]
            for item in entries
        ],
    )


def hit_table(hits: Sequence[CacheHit]) -> Table:
    """Return what was served as a table; of a sample, what would have been."""
    return Table(
        _HITS,
        [
            [
                item.generation_id,
                item.account,
                f"{item.stage} (sample)" if item.sampled else item.stage,
                share_text(item.score_ppm),
                format_usd(item.saved),
                "-" if item.verdict == "UNSPECIFIED" else item.verdict,
                time_text(item.create_time),
                time_text(item.book_time),
                time_text(item.reverse_time),
                item.prompt,
            ]
            for item in hits
        ],
    )


def suggestion_table(suggestions: Sequence[ReuseSuggestion]) -> Table:
    """Return near matches as a table, with what each would save."""
    return Table(
        _SUGGESTIONS,
        [
            [
                item.entry_id,
                share_text(item.score_ppm),
                item.stage or "-",
                item.objection or "-",
                format_usd(item.saved),
                item.model,
                item.prompt,
            ]
            for item in suggestions
        ],
    )


def report_table(report: HitReport) -> Table:
    """Return what a report has done as a table."""
    gone = report.entry_status == "UNSPECIFIED"
    return Table(
        _REPORT,
        [
            [
                report.hit.generation_id,
                report.hit.verdict,
                report.hit.stage,
                format_usd(report.reversed),
                report.hit.entry_id or "-",
                str(report.strike_count),
                "-" if gone else report.entry_status,
            ]
        ],
    )


def policy_tables(policy: CachePolicy) -> list[Table]:
    """Return a policy as a table with a row for each field, and its context's fields as another."""
    structured = policy.structured
    rows = [
        ["of", policy.source_account or "(default)"],
        ["enabled", "yes" if policy.enabled else "no"],
        *([f"stage.{kind}", stage] for kind, stage in policy.stages.items()),
        ["chat_tier", "yes" if policy.chat_tier else "no"],
        *([f"ttl.{kind}", span_word(ttl)] for kind, ttl in policy.ttl.items()),
        ["max_error", share_text(policy.max_error_ppm)],
        ["sample", share_text(policy.sample_ppm)],
        ["context_threshold", share_text(structured.threshold_ppm) if structured else "-"],
    ]
    if structured is None:
        return [Table(_POLICY, rows)]
    fields = [
        [item.name, item.mode.lower(), str(item.weight), share_text(item.bound_ppm or None)]
        for item in structured.fields
    ]
    return [Table(_POLICY, rows), Table(_FIELDS, fields)]
