"""What is suggested of generations whose cost is in the real ledger, by hand beside it."""

from __future__ import annotations

import pytest

from authority.usecases import insights as usecase
from authority.v1 import insight_service_pb2 as messages
from clients import InsightKind, InvalidRequest, Kind, NotAllowed, NotFound
from clients.sync import SyncInsightClient
from keys import make_key
from refusals import invalid

HIGH = ("openai", "gpt-image-2", "high", 220_000)
CHAT = ("openai", "gpt-6-sol", "premium", 90_000)


def of_kind(found, kind):
    """Return the insights of a kind."""
    return [insight for insight in found.insights if insight.kind is kind]


async def test_without_data_nothing_is_suggested_and_there_is_no_score(past, insights):
    found = await insights.list_insights("acme")
    assert found.insights == ()
    assert found.efficiency.score_ppm is None
    assert (found.generation_count, found.left_out_count) == (0, 0)
    assert (found.end_time - found.start_time).days == 30


async def test_smaller_lower_and_cheaper_are_priced_anew(past, insights):
    for actual in (150_000, 160_000):
        made = await past.made(
            prompt=f"a boat {actual}", options=[HIGH], actual=actual, size="1024x1536",
            model="gpt-image-2", quality="high",
        )  # fmt: skip
    found = await insights.list_insights("acme")
    assert (found.generation_count, found.attempt_count) == (2, 2)
    (smaller,) = of_kind(found, InsightKind.SMALLER_SIZE) or [None]
    # At 1024x1024 an image of high quality is dearer, so nothing is to be saved by that.
    assert smaller is None
    (lower,) = of_kind(found, InsightKind.LOWER_QUALITY)
    # By the catalogue: medium is 42,000 an image, and what is sent counts as one token a byte at
    # 5 micros, the 64 that wrap it too.
    sent = 2 * (-(-(len("a boat 150000") + 64) * 5_000_000 // 1_000_000))
    assert (lower.used.quality, lower.instead.quality) == ("high", "medium")
    assert lower.paid == 310_000
    assert lower.saved == 310_000 - (2 * 42_000 + sent)
    assert lower.attempt_count == 2
    assert lower.generation_ids[0] == made
    assert "the most that it could have cost" in lower.method
    (cheaper,) = of_kind(found, InsightKind.CHEAPER_MODEL)
    assert cheaper.used.model == "gpt-image-2"
    assert cheaper.instead.model != "gpt-image-2"
    assert cheaper.instead.provider != "sandbox"
    assert 0 < cheaper.saved < cheaper.paid
    assert found.efficiency.dearer == cheaper.saved
    assert found.efficiency.score_ppm == (310_000 - cheaper.saved) * 1_000_000 // 310_000


async def test_a_premium_request_without_a_model_might_have_been_standard(past, insights):
    await past.made(options=[HIGH], actual=211_400)
    (lower,) = of_kind(await insights.list_insights("acme"), InsightKind.LOWER_QUALITY)
    assert str(lower.instead) == "gpt-image-2 1024x1024 medium"
    cost = 53_000 + -(-(len("a lighthouse") + 64) * 5_000_000 // 1_000_000)
    assert lower.saved == 211_400 - cost


async def test_a_video_might_have_been_smaller(past, insights):
    option = ("fal", "bytedance/seedance-2.0/text-to-video", "premium", 4_000_000)
    await past.made(
        kind="video", options=[option], actual=3_495_250, size="1080p", model=option[1],
        usage={"milliseconds": 5_125}, settings={"seconds": 5},
    )  # fmt: skip
    (smaller,) = of_kind(await insights.list_insights("acme"), InsightKind.SMALLER_SIZE)
    assert smaller.generation_kind is Kind.VIDEO
    assert (smaller.used.size, smaller.instead.size) == ("1080p", "720p")
    # 5.125 seconds, as were billed, at 303,400 each.
    assert smaller.saved == 3_495_250 - 1_554_925


async def test_duplicates_are_found_as_the_cache_would(past, insights):
    first = await past.made(prompt="A red fox!", actual=40_000)
    exact = await past.made(prompt="A red fox!", actual=41_000)
    same = await past.made(prompt="a red  fox", actual=42_000)
    await past.made(prompt="a red fox in snow", actual=43_000)
    await past.made(prompt="A red fox!", actual=44_000, size="1024x1536")
    await past.made(prompt="A red fox!", actual=45_000, reuse="refresh")
    await past.made("globex", prompt="A red fox!", actual=46_000)
    found = await insights.list_insights("acme")
    caching = {insight.cause: insight for insight in of_kind(found, InsightKind.CACHING)}
    assert {stage: insight.saved for stage, insight in caching.items()} == {
        "exact": 41_000,
        "normalised": 42_000,
    }
    assert caching["exact"].generation_ids == (exact,)
    assert caching["normalised"].generation_ids == (same,)
    assert first not in (*caching["exact"].generation_ids, *caching["normalised"].generation_ids)
    assert found.efficiency.duplicates == 83_000


async def test_what_is_too_old_to_be_kept_is_no_duplicate(past, insights):
    chat = {"kind": "chat", "size": "", "options": [CHAT], "settings": {"temperature": 0.0}}
    await past.made(prompt="Why?", actual=9_000, days_ago=2, **chat)
    await past.made(prompt="Why?", actual=9_000, **chat)
    assert of_kind(await insights.list_insights("acme"), InsightKind.CACHING) == []
    await past.made(prompt="Why?", actual=8_000, **chat)
    (caching,) = of_kind(await insights.list_insights("acme"), InsightKind.CACHING)
    assert caching.saved == 8_000


async def test_failures_that_were_paid_are_counted_by_reason(past, insights):
    refused = await past.made(actual=30_000, error="content_refused")
    await past.made(actual=50_000, error="outcome_unknown", presumed=True)
    await past.made(actual=20_000, error="outcome_unknown")
    found = await insights.list_insights("acme")
    failures = {insight.cause: insight for insight in of_kind(found, InsightKind.FAILURES)}
    assert failures["content_refused"].saved == 30_000
    assert failures["content_refused"].generation_ids == (refused,)
    assert failures["outcome_unknown"].saved == 70_000
    assert failures["outcome_unknown"].presumed_count == 1
    assert found.efficiency.failures == 100_000
    assert found.efficiency.score_ppm == 0
    # What failed is not told to be cheaper elsewhere besides.
    assert {insight.kind for insight in found.insights} == {InsightKind.FAILURES}


async def test_what_was_given_back_is_no_cost(past, insights):
    await past.made(actual=30_000, error="content_refused", refund=30_000)
    await past.made(actual=50_000, error="content_refused", refund=20_000)
    found = await insights.list_insights("acme")
    (failures,) = of_kind(found, InsightKind.FAILURES)
    assert (failures.paid, failures.saved, failures.attempt_count) == (30_000, 30_000, 1)
    assert found.efficiency.paid == 30_000


async def test_a_model_that_ends_is_told_with_its_substitute(past, insights):
    option = ("openai", "gpt-image-1.5", "low", 10_000)
    await past.made(options=[option], actual=9_000, model="gpt-image-1.5", quality="low")
    (retiring,) = of_kind(await insights.list_insights("acme"), InsightKind.RETIRING_MODEL)
    assert retiring.retire_date.isoformat() == "2026-12-01"
    assert (retiring.instead.model, retiring.instead.quality) == ("gpt-image-2", "low")
    cost = 6_000 + -(-(len("a lighthouse") + 64) * 5_000_000 // 1_000_000)
    assert retiring.saved == 9_000 - cost


@pytest.mark.parametrize(("is_cached", "each"), [(False, 8_000), (True, 800)])
async def test_the_longest_prompts_are_cut_to_the_third_quartile(past, insights, is_cached, each):
    # Input is 2 micros a token, or a tenth where it was cached, and output 10.
    for number in range(24):
        tokens = 5_000 if number >= 20 else 1_000
        actual = (tokens // 5 if is_cached else tokens * 2) + 100
        await past.made(
            prompt=f"Why {number}?", kind="chat", size="", options=[CHAT],
            actual=actual, usage={"input_tokens": tokens, "output_tokens": 10},
        )  # fmt: skip
        if number == 18:
            early = await insights.list_insights("acme")
    assert of_kind(early, InsightKind.SHORTER_PROMPTS) == []
    (shorter,) = of_kind(await insights.list_insights("acme"), InsightKind.SHORTER_PROMPTS)
    assert (shorter.tokens, shorter.attempt_count) == (1_000, 4)
    assert shorter.paid == 4 * actual
    assert shorter.saved == 4 * each


async def test_what_the_cache_saved_counts_for_the_score(past, insights):
    await past.made(actual=30_000, error="content_refused")
    await past.cached(saved=70_000)
    found = await insights.list_insights("acme")
    assert found.efficiency.saved_by_cache == 70_000
    assert found.efficiency.score_ppm == 700_000
    assert found.cached_count == 1


async def test_accounts_below_count_and_others_do_not(past, insights):
    await past.made("acme/alice", actual=30_000, error="content_refused")
    await past.made("acme", actual=40_000, error="content_refused")
    await past.made("globex", actual=50_000, error="content_refused")
    assert (await insights.list_insights("acme")).efficiency.paid == 70_000
    assert (await insights.list_insights("acme/alice")).efficiency.paid == 30_000


async def test_days_bound_what_is_looked_at(past, insights):
    await past.made(actual=30_000, error="content_refused", days_ago=8)
    assert (await insights.list_insights("acme", days=7)).generation_count == 0
    assert (await insights.list_insights("acme", days=9)).generation_count == 1


async def test_the_latest_are_looked_at_and_the_rest_is_told(past, insights, monkeypatch):
    monkeypatch.setattr(usecase, "GENERATIONS_MAX", 2)
    for number in range(3):
        await past.made(actual=10_000 * (number + 1), error="content_refused")
    found = await insights.list_insights("acme")
    assert (found.generation_count, found.left_out_count) == (2, 1)
    assert found.efficiency.paid == 50_000


async def test_bad_requests_are_told_and_other_tenants_refused(past, insights, stubs, authority):
    for days in (-1, 91):
        with pytest.raises(InvalidRequest, match="days"):
            await insights.list_insights("acme", days=days)
        with pytest.raises(InvalidRequest, match="days"):
            await insights.replay("acme", days=days)
    with pytest.raises(NotFound):
        await insights.list_insights("acme/nobody")
    with pytest.raises(NotFound):
        await insights.replay("acme", plan="no-such-plan")
    with pytest.raises(InvalidRequest, match="model"):
        await insights.replay("acme", model="no-such-model")
    request = messages.ReplayRequest(account="No Account", days=-1, plan="No Plan", model="\n")
    call = stubs.channel.unary_unary(
        "/authority.v1.InsightService/Replay", messages.ReplayRequest.SerializeToString
    )
    fields = await invalid(call(request, metadata=stubs.metadata))
    assert set(fields) == {"account", "days", "plan", "model"}
    token = (await make_key(stubs, "globex", ["READ"])).token
    async with type(insights)(insights._address, token=token, timeout=10) as globex:
        with pytest.raises(NotAllowed):
            await globex.list_insights("acme")
        assert (await globex.list_insights("globex")).generation_count == 0


def test_threads_have_a_client_too():
    with SyncInsightClient("127.0.0.1:1", timeout=1) as client:
        assert callable(client.list_insights)
