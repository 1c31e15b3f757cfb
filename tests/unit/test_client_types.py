"""What callers make and see: amounts, words, reservations."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from authority.v1 import (
    budget_service_pb2,
    errors_pb2,
    generation_service_pb2,
    resources_pb2,
)
from clients import (
    AuthorityClient,
    DenialReason,
    Durability,
    GenerationState,
    GrantState,
    HeldReservation,
    InvalidRequest,
    Kind,
    Leg,
    Option,
    Priority,
    ReservationLeg,
    ReservationState,
    ReserveMode,
    Role,
    Unit,
    credits,  # noqa: A004 - it hides nothing but a help text of the interactive Python
    images,
    messages,
    types,
    usd,
    videos,
)
from clients.amounts import AMOUNT_MAX
from clients.convert import reservation_from_answer, reservation_from_proto, word
from clients.requests import duration_to_proto, message, new_key, options_to_proto

WORDS = [
    (resources_pb2.Unit, "UNIT", Unit),
    (resources_pb2.Window, "WINDOW", types.Window),
    (resources_pb2.Enforcement, "ENFORCEMENT", types.Enforcement),
    (resources_pb2.OveragePolicy, "OVERAGE_POLICY", types.OveragePolicy),
    (resources_pb2.AccountState, "ACCOUNT_STATE", types.AccountState),
    (resources_pb2.ReservationState, "RESERVATION_STATE", ReservationState),
    (errors_pb2.DenialReason, "DENIAL_REASON", DenialReason),
    (resources_pb2.GrantState, "GRANT_STATE", GrantState),
    (generation_service_pb2.Kind, "KIND", Kind),
    (generation_service_pb2.Priority, "PRIORITY", Priority),
    (generation_service_pb2.Role, "ROLE", Role),
    (generation_service_pb2.GenerationState, "GENERATION_STATE", GenerationState),
]


@pytest.mark.parametrize(
    ("amount", "micros"),
    [
        ("0.04", 40_000),
        (1, 1_000_000),
        (Decimal("0.000001"), 1),
        ("0", 0),
        ("1e2", 100_000_000),
        ("9007199254.740991", AMOUNT_MAX),
        ("1.10000000000000000000", 1_100_000),
    ],
)
def test_money_is_made_from_decimals(amount, micros):
    assert usd(amount) == Leg(Unit.USD, micros)
    assert credits(amount) == Leg(Unit.CREDITS, micros)


@pytest.mark.parametrize("amount", [0.04, True, None, b"1"])
def test_a_float_is_no_money(amount):
    with pytest.raises(TypeError, match="amount of money"):
        usd(amount)


@pytest.mark.parametrize(
    "amount",
    [
        *("0.0000001", "0." + "0" * 60 + "1", "1e-400"),
        *("9007199254.740992", "1e400", "1e999999", "inf"),
        *("x", "", "-1", "NaN", "sNaN"),
    ],
)
def test_money_that_is_none(amount):
    with pytest.raises(ValueError, match="amount of money"):
        usd(amount)


def test_counts_are_ints():
    assert [images(1), videos(2), messages(3)] == [
        Leg(Unit.IMAGES, 1),
        Leg(Unit.VIDEOS, 2),
        Leg(Unit.MESSAGES, 3),
    ]
    for count in (1.0, True, "1"):
        with pytest.raises(TypeError, match="amount must be an int"):
            images(count)
    for count in (-1, AMOUNT_MAX + 1):
        with pytest.raises(ValueError, match="from 0 to"):
            images(count)


@pytest.mark.parametrize(("enum", "prefix", "words"), WORDS)
def test_words_are_the_proto_s(enum, prefix, words):
    names = {name.removeprefix(f"{prefix}_") for name in enum.keys()}  # noqa: SIM118 - it is no dict
    assert {str(item) for item in words} == names - {"UNSPECIFIED"} | {"UNKNOWN"}
    for name in names - {"UNSPECIFIED"}:
        assert word(words, enum, f"{prefix}_", enum.Value(f"{prefix}_{name}")) == name
    assert word(words, enum, f"{prefix}_", 0) == "UNKNOWN"
    assert word(words, enum, f"{prefix}_", 99) == "UNKNOWN"


@pytest.mark.parametrize(
    ("enum", "prefix", "words"),
    [
        (budget_service_pb2.ReserveMode, "RESERVE_MODE", ReserveMode),
        (budget_service_pb2.Durability, "DURABILITY", Durability),
    ],
)
def test_words_that_are_only_sent_are_the_proto_s(enum, prefix, words):
    assert {f"{prefix}_{item}" for item in words} == set(enum.keys()) - {f"{prefix}_UNSPECIFIED"}


def test_a_leg_below_zero_is_made_by_negation_alone():
    assert -usd("0.05") == Leg(Unit.USD, -50_000)
    assert -Leg(Unit.IMAGES, -2) == images(2)
    with pytest.raises(ValueError, match="amount must be from -"):
        Leg(Unit.USD, -AMOUNT_MAX - 1)


def test_final_states_are_those_that_end():
    assert [state for state in GenerationState if not state.final] == [
        GenerationState.QUEUED,
        GenerationState.RUNNING,
        GenerationState.UNKNOWN,
    ]


@pytest.fixture
def reservation():
    """A reservation as the authority tells it."""
    return reservation_from_proto(
        resources_pb2.Reservation(
            reservation_id="acme/7",
            account="acme",
            state="RESERVATION_STATE_HELD",
            legs=[
                resources_pb2.ReservationLeg(unit="UNIT_USD", reserved=80, held=80, charged=50),
                resources_pb2.ReservationLeg(unit="UNIT_IMAGES", reserved=1, held=1),
            ],
            labels={"job": "7"},
            create_time=Timestamp(seconds=1_800_000_000, nanos=1_000_000),
        ),
        replayed=True,
    )


def test_a_reservation_is_plain_and_frozen(reservation):
    assert reservation.charged(Unit.USD) == 50
    assert reservation.leg(Unit.VIDEOS) == ReservationLeg(Unit.VIDEOS)
    assert reservation.create_time == datetime.fromtimestamp(1_800_000_000, UTC) + timedelta(
        milliseconds=1
    )
    assert (reservation.settle_time, reservation.replayed) == (None, True)
    assert reservation.labels == {"job": "7"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        reservation.late = True
    copy = pickle.loads(pickle.dumps(reservation))
    assert (copy, hash(copy)) == (reservation, hash(reservation))


def test_what_an_operation_answers_is_read_when_it_is_looked_at(reservation):
    answer = budget_service_pb2.ReserveResponse(replayed=True)
    answer.reservation.reservation_id = "acme/7"
    answer.reservation.legs.add(unit="UNIT_USD", reserved=80, held=80)
    found = [reservation_from_answer(answer) for _ in range(5)]
    answer.reservation.reservation_id = "acme/8"  # the message is no part of them
    first, second, third, fourth, fifth = found
    assert (first.reservation_id, first.replayed) == ("acme/7", True)
    assert second.leg(Unit.USD).held == 80
    assert third.settle_time is None
    assert repr(fourth).startswith("Reservation(reservation_id='acme/7', account='', state=")
    assert pickle.loads(pickle.dumps(fifth)) == first == second == third == fourth
    assert dataclasses.replace(first, account="acme").legs == first.legs
    for each in (first, reservation):
        with pytest.raises(AttributeError, match="'Reservation' object has no attribute 'cost'"):
            _ = each.cost


def test_a_block_s_cost_is_what_it_set_or_all(reservation):
    held = HeldReservation(reservation)
    assert held.cost == [Leg(Unit.USD, 80), Leg(Unit.IMAGES, 1)]
    held.actual = []
    assert held.cost == []
    assert (held.commit_key, held.release_key) == ("acme/7/commit", "acme/7/release")


def test_legs_are_one_option():
    (option,) = options_to_proto([usd("0.04")], None)
    assert (option.legs[0].unit, option.legs[0].amount) == (resources_pb2.UNIT_USD, 40_000)
    first, second = options_to_proto(None, [Option((usd(1),), "premium"), [images(1)]])
    assert (first.name, second.name) == ("premium", "")
    for given in [(None, None), ([usd(1)], [[usd(1)]])]:
        with pytest.raises(TypeError, match="either"):
            options_to_proto(*given)


def test_what_has_no_form_on_the_wire_is_named():
    with pytest.raises(InvalidRequest) as refused:
        message(
            generation_service_pb2.SubmitGenerationRequest,
            account="acme",
            prompt="\ud800",
            count=2**40,
        )
    assert [field for field, _ in refused.value.violations] == ["prompt", "count"]
    assert "no Unicode" in str(refused.value)


def test_a_ttl_has_a_form_on_the_wire():
    assert duration_to_proto(None) is None
    assert duration_to_proto(timedelta(minutes=1, milliseconds=5)).ToMilliseconds() == 60_005


def test_keys_are_new_and_in_order():
    keys = [new_key() for _ in range(100)]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("", {}),
        ("http://x:1", {}),
        ("x", {}),
        ("x:123456", {}),
        ("x:1", {"token": "two words"}),
        ("x:1", {"token": "line\n"}),
        ("x:1", {"timeout": 0}),
        ("x:1", {"timeout": float("inf")}),
        ("x:1", {"timeout": float("nan")}),
    ],
)
async def test_what_cannot_connect_is_refused(address, options):
    with pytest.raises(ValueError, match=r"^(address|token|timeout) must be") as refused:
        AuthorityClient(address, **options)
    assert options.get("token", "-secret-") not in str(refused.value)
