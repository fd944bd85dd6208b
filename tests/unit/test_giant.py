"""Large answers: split in chunks exactly as small ones are split whole, whatever their arrays hold."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.contract import BIGINT, TEXT, Answer, Table, column
from syncd.errors import BadPayload
from syncd.records import presplit
from syncd.records.giant import Giant, chunks_of
from syncd.records.readers import Keys
from syncd.records.split import elements, envelope
from syncd.sources import registry

TABLE = Table(
    schema="test",
    name="things",
    key=("id",),
    comment="Things",
    columns=(column("id", BIGINT, "x"), column("a", TEXT, "x")),
)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Answers of a few bytes are large, and chunks hold some elements."""
    with monkeypatch.context() as patched:
        for name, value in {"GIANT_BYTES": 1, "FIRST_BYTES": 9, "CHUNK_BYTES": 60, "CHUNK_RECORDS": 3}.items():
            patched.setattr(presplit, name, value)
        yield


def answer_of(body: bytes) -> Answer:
    at = datetime(2026, 11, 28, tzinfo=UTC)
    return Answer(status=200, headers={}, body=body, sent_at=at, served_at=None)


TEXTS = ['"', "\\", '},{"a":', "],[", "é\U0001f6b2", '\\\\"']
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(TEXTS)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc{"), inner, max_size=3)
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    sent=st.dictionaries(st.sampled_from(["data", "error", 'na"me', "x"]), st.lists(VALUES, max_size=12) | VALUES),
    indent=st.sampled_from([None, 1]),
    is_ascii=st.booleans(),
)
@pytest.mark.usefixtures("small_chunks")
async def test_a_large_answer_is_split_as_a_small_one(sent: dict[str, Any], indent: int | None, is_ascii: bool) -> None:
    body = json.dumps(sent, indent=indent, ensure_ascii=is_ascii).encode()
    large, small = answer_of(body), answer_of(body)
    await presplit.presplit(large)
    assert large.members.keys() == sent.keys()
    found = envelope(large)
    for name, raw in envelope(small).items():
        assert bytes(found[name]) == raw
        if isinstance(sent[name], list):
            parts, expected = elements(found[name], name), elements(raw, name)
            assert list(parts) == list(expected)
            assert [each for chunk in chunks_of(parts) for each in chunk] == list(expected)
            assert len(parts) == len(expected)
            assert [parts[at] for at in range(-len(parts), len(parts))] == [*expected, *expected]


@pytest.mark.usefixtures("small_chunks")
async def test_chunks_are_small_and_keys_come_with_them() -> None:
    records = [{"id": number, "a": "},{" * (number % 5)} for number in range(200)]
    answer = answer_of(json.dumps({"data": records}).encode())
    await presplit.presplit(answer)
    parts = elements(envelope(answer)["data"], "data")
    assert isinstance(parts, Giant)
    assert len(list(parts.chunks())) > 20
    assert max(map(len, parts.chunks())) <= 12
    keys = Keys(TABLE).of_all(parts)
    assert list(keys) == [(number,) for number in range(200)]
    assert (keys[-1], keys[0], keys[57], len(keys)) == ((199,), (0,), (57,), 200)


UNSOUND = [b'{"data": [1, 2}', b'{"data": [{"a": "b]}', b'{"data": [1] "x": 2}', b'{"data": [1]} x']


@pytest.mark.parametrize("unsound", [*UNSOUND, b"[1, 2]", b'{"data"}', b"{"])
@pytest.mark.usefixtures("small_chunks")
async def test_what_is_no_sound_object_is_left_to_be_judged_as_ever(unsound: bytes) -> None:
    answer = answer_of(unsound)
    await presplit.presplit(answer)
    assert not answer.members
    with pytest.raises(BadPayload):
        envelope(answer)


@pytest.mark.parametrize(
    "odd", ['{"id": NaN}', '{"id": 1, "a": "\\ud800"}', '{"id": 1, "a": "\x01"}', "[" * 5000 + "]" * 5000]
)
@pytest.mark.usefixtures("small_chunks")
async def test_an_odd_element_costs_no_other(odd: str) -> None:
    rows = [f'{{"id":{number}}}' for number in range(50)]
    body = f'{{"data": [{",".join([*rows[:25], odd, *rows[25:]])}]}}'.encode()
    answer = answer_of(body)
    await presplit.presplit(answer)
    parts = elements(envelope(answer)["data"], "data")
    assert isinstance(parts, Giant)
    assert len(parts) == 51
    assert [each for at, each in enumerate(parts) if at != 25] == [row.encode() for row in rows]


@pytest.mark.usefixtures("small_chunks")
async def test_no_source_reads_an_error_into_a_large_sound_answer() -> None:
    rows = [{"id": number, "a": "ä" * number} for number in range(20)]
    answer = answer_of(json.dumps({"data": rows, "links": None}).encode())
    await presplit.presplit(answer)
    assert isinstance(elements(answer.members["data"], "data"), Giant)
    assert {name: source.fault_of(answer) for name, source in registry().items()} == dict.fromkeys(registry(), None)
    with pytest.raises(BadPayload, match="got an array"):
        envelope(answer.members["data"])
