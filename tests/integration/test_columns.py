"""Columns in binary form: Postgres reads what was given, whatever it is."""

from __future__ import annotations

import json
import uuid

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authority.ledger.arrays import (
    bigints,
    booleans,
    jsonbs,
    optional_texts,
    register_columns,
    smallints,
    texts,
    timestamps,
    uuids,
    words,
)

# All that Postgres has as text, with much of what quoting goes wrong with.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.text(
    st.sampled_from("\"\\'{},$ NULl%()\n\t\x01ü€🙂")
)
BIGINTS = st.integers(-(2**63), 2**63 - 1)


@pytest.fixture(scope="module")
def read(postgres):
    """A function that sends a column and returns what the server has read."""
    with psycopg.connect(postgres.url, autocommit=True, client_encoding="utf8") as connection:
        register_columns(connection)

        def send(column, of):
            row = connection.execute(f"SELECT %s::{of}[]", [column]).fetchone()
            return row[0]

        yield send


@given(values=st.lists(TEXTS | st.none()))
def test_texts_with_nulls(read, values):
    assert read(optional_texts(values), "text") == values


@given(values=st.lists(TEXTS))
def test_texts(read, values):
    assert read(texts(values), "text") == values


@given(values=st.lists(TEXTS))
def test_words(read, values):
    assert read(words(values * 2), "text") == values * 2


@given(values=st.lists(BIGINTS))
def test_bigints(read, values):
    assert read(bigints(values), "bigint") == values


@given(values=st.lists(st.integers(-(2**15), 2**15 - 1)))
def test_smallints(read, values):
    assert read(smallints(values), "smallint") == values


@given(values=st.lists(st.booleans()))
def test_booleans(read, values):
    assert read(booleans(values), "boolean") == values


@given(values=st.lists(st.uuids()))
def test_uuids(read, values):
    assert read(uuids([str(value) for value in values]), "uuid") == values


@given(values=st.lists(st.integers(0, 4_102_444_800_000)))
def test_timestamps(read, values):
    found = read(timestamps(values), "timestamptz")
    assert [round(value.timestamp() * 1000) for value in found] == values


@given(values=st.lists(st.dictionaries(TEXTS, TEXTS)))
def test_jsonbs(read, values):
    assert read(jsonbs([json.dumps(value) for value in values]), "jsonb") == values


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_is_no_text_is_refused_by_the_server(read, text):
    with pytest.raises(psycopg.DataError):
        read(texts(["a", text]), "text")
    with pytest.raises(psycopg.DataError):
        read(optional_texts([None, text]), "text")


@pytest.mark.parametrize("wrong", [texts(["1"]), smallints([1])], ids=["texts", "smallints"])
def test_elements_of_another_type_are_refused(read, wrong):
    with pytest.raises(psycopg.errors.DatatypeMismatch):
        read(wrong, "bigint")


@pytest.mark.parametrize("value", [2**63, "1", None])
def test_what_is_no_number_is_refused_as_the_server_would(value):
    with pytest.raises(psycopg.DataError):
        bigints([1, value])


@pytest.mark.parametrize("end", ["x", "", "11"])
def test_what_is_no_uuid_is_refused_by_itself_or_the_server(read, end):
    with pytest.raises(psycopg.DataError):
        read(uuids([str(uuid.uuid4()), "0199a0b2-0000-7000-8000-00000000000" + end]), "uuid")
