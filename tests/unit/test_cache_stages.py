"""Which stages may serve a request, and what an account's policy may say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from caching import request
from generations.models import Kind
from generations.settings import Settings
from generations.violations import InvalidRequest
from similarity.policy import CachePolicy, Stage
from similarity.stages import Reuse, allowed_stages, may_fill, possible_stages
from similarity.structured import RECIPE

EVERYTHING = CachePolicy(
    deepest=dict.fromkeys(Kind, Stage.GUARDED), chat_tier=True, structured=RECIPE
)
BY_PROMPT = ["exact", "normalised", "signature", "guarded"]


CHAT = request(kind=Kind.CHAT, settings=Settings(temperature=0.0))


@pytest.mark.parametrize(
    ("asked", "policy", "reuse", "allowed"),
    [
        (request(), CachePolicy(), Reuse.BY_POLICY, BY_PROMPT[:2]),
        (request(kind=Kind.VIDEO), CachePolicy(), Reuse.BY_POLICY, BY_PROMPT[:2]),
        (CHAT, CachePolicy(), Reuse.BY_POLICY, ["exact"]),
        (request(), EVERYTHING, Reuse.BY_POLICY, [*BY_PROMPT, "structured"]),
        (request(), EVERYTHING, Reuse.SUGGEST, [*BY_PROMPT, "structured"]),
        (CHAT, EVERYTHING, Reuse.BY_POLICY, [*BY_PROMPT, "structured", "chat"]),
        (CHAT, EVERYTHING, Reuse.GUARDED, BY_PROMPT),
        (request(), EVERYTHING, Reuse.NORMALISED, BY_PROMPT[:2]),
        (request(), EVERYTHING, Reuse.EXACT, ["exact"]),
        (request(), EVERYTHING, Reuse.OFF, []),
        (request(), EVERYTHING, Reuse.REFRESH, []),
        # A request may be stricter than its account's policy, and not less strict.
        (request(), CachePolicy(), Reuse.GUARDED, BY_PROMPT[:2]),
        (CHAT, CachePolicy(), Reuse.GUARDED, ["exact"]),
        (request(), CachePolicy(), Reuse.SUGGEST, BY_PROMPT[:2]),
        (request(), CachePolicy(is_enabled=False), Reuse.EXACT, []),
    ],
)
def test_what_is_allowed(asked, policy, reuse, allowed):
    assert [*allowed_stages(asked, policy, reuse, has_context=True)] == allowed


@pytest.mark.parametrize(
    "settings",
    [
        Settings(seed=0),
        Settings(references=("acme/1",)),
        Settings(mask="acme/1", references=("acme/2",)),
    ],
)
def test_what_asks_for_one_picture_and_no_other_is_known_to_the_letter(settings):
    assert possible_stages(request(settings=settings), has_context=True) == (Stage.EXACT,)
    assert allowed_stages(request(settings=settings), EVERYTHING) == (Stage.EXACT,)


@pytest.mark.parametrize("settings", [Settings(), Settings(temperature=0.5), Settings(seed=1)])
def test_a_chat_that_is_sampled_or_has_a_seed_is_known_to_the_letter(settings):
    asked = request(kind=Kind.CHAT, settings=settings)
    assert possible_stages(asked) == allowed_stages(asked, EVERYTHING) == (Stage.EXACT,)


def test_without_a_context_there_is_nothing_structured():
    assert Stage.STRUCTURED not in possible_stages(request())
    assert Stage.STRUCTURED not in allowed_stages(request(), EVERYTHING)


def test_what_is_kept():
    assert may_fill(CachePolicy(), Reuse.BY_POLICY)
    assert may_fill(CachePolicy(), Reuse.REFRESH)
    assert not may_fill(CachePolicy(), Reuse.OFF)
    assert not may_fill(CachePolicy(is_enabled=False), Reuse.REFRESH)


def test_a_lifetime_has_its_jitter():
    policy = CachePolicy()
    assert policy.lifetime(Kind.IMAGE, 0.5) == timedelta(days=30)
    assert policy.lifetime(Kind.IMAGE, 0.0) == timedelta(days=27)
    assert policy.lifetime(Kind.IMAGE, 1.0) == timedelta(days=33)
    assert policy.lifetime(Kind.CHAT, 0.5) == timedelta(hours=24)


def test_a_policy_goes_through_json():
    for policy in (CachePolicy(), EVERYTHING):
        assert CachePolicy.decode(policy.encode()) == policy
    assert CachePolicy.decode({}) == CachePolicy()
    only_images = CachePolicy.decode({"deepest": {"image": "guarded"}})
    assert Stage.GUARDED in only_images.stages(Kind.IMAGE)
    assert Stage.GUARDED not in only_images.stages(Kind.VIDEO)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "policy"),
        ({"enabled": 1}, "policy.enabled"),
        ({"deepest": {"image": "chat"}}, "policy.deepest.image"),
        ({"deepest": {"song": "exact"}}, "policy.deepest.song"),
        ({"deepest": "exact"}, "policy.deepest"),
        ({"chat_tier": None}, "policy.chat_tier"),
        ({"ttl_seconds": {"chat": 59}}, "policy.ttl_seconds.chat"),
        ({"ttl_seconds": {"chat": 1e4}}, "policy.ttl_seconds.chat"),
        ({"max_error_ppm": -1}, "policy.max_error_ppm"),
        ({"sample_ppm": 1_000_001}, "policy.sample_ppm"),
        ({"sample_ppm": True}, "policy.sample_ppm"),
        ({"more": 1}, "policy.more"),
        ({"structured": []}, "policy.structured"),
        ({"structured": {}}, "policy.structured.fields"),
        ({"structured": {"fields": [{"name": "x"}]}}, "policy.structured.fields[0].mode"),
    ],
)
def test_a_bad_policy_is_refused_by_field(document, field):
    with pytest.raises(InvalidRequest) as refused:
        CachePolicy.decode(document)
    assert field in [violation.field for violation in refused.value.violations]
