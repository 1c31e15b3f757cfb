"""What a request is known by: which requests may meet at all, and by which hash."""

from __future__ import annotations

import pytest

from caching import DISH, request
from generations.models import Kind
from generations.settings import Settings
from similarity import scope as scopes
from similarity.policy import Stage
from similarity.scope import fingerprint, join_key, scope
from similarity.structured import RECIPE

OPTION = {"model": "m", "quality": "q"}


def known(asked=None, *, stages=tuple(Stage), **more):
    return fingerprint(asked or request(), **(OPTION | {"stages": stages} | more))


@pytest.mark.parametrize(
    "change",
    [
        {"account": "other/alice"},
        {"kind": Kind.VIDEO},
        {"size": "512x512"},
        {"count": 2},
        {"settings": Settings(style="photo")},
        {"settings": Settings(negative_prompt="no hat")},
        {"settings": Settings(seed=1)},
        {"settings": Settings(references=("acme/1",))},
    ],
)
def test_the_scope_keeps_requests_apart(change):
    one, other = known(), known(request(**change))
    assert one.scope != other.scope
    assert one[1:] == other[1:]


def test_the_scope_is_of_the_tenant_the_option_and_the_embedder():
    one = scope(request(), **OPTION, embedder="e")
    assert one == scope(request(account="acme", model="x", quality="y"), **OPTION, embedder="e")
    assert one != scope(request(), model="n", quality="q", embedder="e")
    assert one != scope(request(), model="m", quality="p", embedder="e")
    assert one != scope(request(), **OPTION, embedder="f")


def test_a_preset_that_was_changed_is_another_style(monkeypatch):
    styled = request(settings=Settings(style=next(iter(scopes.styles()))))
    before = known(styled).scope
    monkeypatch.setattr(scopes, "styles", dict)
    assert known(styled).scope != before


def test_each_stage_has_its_hash():
    one = known(request(prompt="A photo of a cat!"))
    assert one.exact != known(request(prompt="a photo of a cat")).exact
    assert one.normalised == known(request(prompt="a photo of a cat")).normalised
    assert one.signature == known(request(prompt="a photo of a cat")).signature
    assert one.structured is None
    assert len({*one} - {None}) == 4


def test_a_hash_is_only_of_a_stage_that_is_wanted():
    found = known(stages=[Stage.EXACT], context=DISH, structured=RECIPE)
    assert found.exact
    assert (found.normalised, found.signature, found.structured) == (None, None, None)
    assert known(stages=[Stage.NORMALISED]).normalised is not None
    assert known(stages=[Stage.SIGNATURE]).signature is not None
    assert known(stages=[Stage.STRUCTURED], context=DISH, structured=RECIPE).structured is not None


def test_nothing_is_known_by_nothing():
    found = known(request(prompt="!!!"), context={}, structured=RECIPE)
    assert (found.normalised, found.signature, found.structured) == (None, None, None)


def test_what_is_not_english_has_no_signature():
    assert known(request(prompt="eine Katze mit einem Hut auf dem Dach")).signature is None


def test_a_join_is_to_the_letter():
    assert join_key(request()) == join_key(request(account="acme/bob"))
    for change in ({"prompt": "a  cat"}, {"model": "m"}, {"quality": "standard"}):
        assert join_key(request()) != join_key(request(**change))
