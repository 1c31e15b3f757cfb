"""The fuzzer's requests: of every method, and wrong where they shall be."""

from __future__ import annotations

import random

import pytest
from google.protobuf.message import DecodeError

from calls import REQUESTS
from fuzzing.names import Names
from fuzzing.valid import Valid
from fuzzing.wrong import garbage, spoil


def makers(seed):
    choice = random.Random(seed)
    names = Names(choice)
    names.add_spender("acme")
    return choice, Valid(choice, names)


# Some have no field that could be wrong.
WITH_FIELDS = [kind for kind in REQUESTS if kind.DESCRIPTOR.fields]


@pytest.mark.parametrize("kind", WITH_FIELDS, ids=lambda kind: kind.DESCRIPTOR.name)
def test_one_thing_about_a_request_is_spoilt(kind):
    choice, valid = makers(7)
    changed = 0
    for _ in range(100):
        request = valid.request(kind.DESCRIPTOR)
        before = request.SerializeToString(deterministic=True)
        body = spoil(choice, request)
        changed += kind.FromString(body).SerializeToString(deterministic=True) != before
    assert changed >= 50


def test_garbage_is_mostly_no_message():
    choice, valid = makers(7)
    unread = 0
    for kind in REQUESTS * 5:
        try:
            kind.FromString(garbage(choice, valid.request(kind.DESCRIPTOR).SerializeToString()))
        except DecodeError:
            unread += 1
    assert unread > len(REQUESTS)
