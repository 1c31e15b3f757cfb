"""What the catalogue says of models that make vectors."""

from __future__ import annotations

from pathlib import Path

import pytest

from generations.catalogue import BadCatalogue, Catalogue, UnknownModel
from generations.pricing import price_embedding

GOOD = (Path(__file__).parents[1] / "fixtures" / "catalogue.toml").read_text(encoding="utf-8")
EMBEDDING = """
[[embedding]]
provider = "nobody"
model = "vectors-1"
dimensions_max = 8
micros_per_million_tokens = 30_000
sources = ["nowhere"]
"""


def test_vectors_have_a_price(tmp_path):
    ours = Catalogue.load().embedding("text-embedding-3-small")
    assert price_embedding(ours, [], tokens=1_000_000) == 20_000
    assert price_embedding(ours, [], tokens=1) == 1
    assert price_embedding(ours, ["ä" * 500, "x"]) == 21  # a thousand bytes and one, rounded up
    file = tmp_path / "more.toml"
    dearer = EMBEDDING.replace("vectors-1", "text-embedding-3-small")
    file.write_text(EMBEDDING + dearer, encoding="utf-8")
    theirs = Catalogue.load(file)
    assert theirs.embedding("vectors-1").dimensions_max == 8
    assert price_embedding(theirs.embedding(ours.name), [], tokens=1_000_000) == 30_000
    with pytest.raises(UnknownModel):
        Catalogue.load().embedding("vectors-1")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dimensions_max = 8\n", "", "embedding 1: dimensions_max: must be given"),
        ("30_000", "0", "embedding 1: micros_per_million_tokens: is 0"),
        ("sources", "source", "embedding 1: sources: must be given"),
        ('provider = "nobody"', 'provider = "nobody"\nsize = 3', "embedding 1: size: is no key"),
    ],
)
def test_a_bad_embedding_is_refused(old, new, message):
    with pytest.raises(BadCatalogue) as caught:
        Catalogue.parse(GOOD + EMBEDDING.replace(old, new, 1), "small.toml")
    assert message in str(caught.value)
    twice = GOOD + EMBEDDING + EMBEDDING
    with pytest.raises(BadCatalogue, match="listed twice"):
        Catalogue.parse(twice, "small.toml")
