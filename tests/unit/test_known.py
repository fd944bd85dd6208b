"""An array whose text came before is recognized by its text alone, and gives the same elements."""

import gc
import json
import weakref
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.contract.paging import TAIL_KEYS
from syncd.errors import BadPayload
from syncd.records import known
from syncd.records.known import KNOWN_ARRAYS, Known, KnownElements, digest_of, recognized, remember, shape_of
from syncd.records.page import Intake
from syncd.records.parser import LATE_RECORDS, Parser
from syncd.records.split import LONG_BYTES, elements, envelope
from syncd.sources.cyclesoftware.customers import CUSTOMERS

INTAKE = Intake(parser=Parser(CUSTOMERS, ZoneInfo("UTC")))
COUNT = LONG_BYTES // 20


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_KNOWN", {})


def array_of(*cities: str) -> bytes:
    """Return the text of many records; the last ones have these cities."""
    names = [*["Oss"] * (COUNT - len(cities)), *cities]
    records = [json.dumps({"customer_id": at, "city": city}).encode() for at, city in enumerate(names)]
    return b"[" + b",".join(records) + b"]"


def read(array: bytes) -> Sequence[bytes]:
    return elements(envelope(b'{"customers":%b,"pagination":null}' % array)["customers"], "customers")


def met(array: bytes) -> Sequence[bytes]:
    """Read an array, as one that was found to change nothing."""
    records = read(array)
    INTAKE.read(records).sent.keep(is_whole=True)
    return records


def test_an_array_that_came_before_is_read_the_same_as_the_first_time() -> None:
    array = array_of("Best", "Ede")
    first = INTAKE.read(met(array))
    records = read(array)
    assert isinstance(records, KnownElements)
    again = INTAKE.read(records)
    assert again.sent.known
    assert not first.sent.known
    assert again.sent.in_order == first.sent.in_order
    assert again.sent.known.sorted
    assert (again.sent.keys[0], again.sent.keys[-1]) == ((0,), (COUNT - 1,))
    assert list(again.sent.keys) == list(first.sent.keys)
    assert again.fingerprints == first.fingerprints
    assert (len(records), list(records), again.seen) == (COUNT, list(first.sent.records), first.seen)
    assert INTAKE.with_values(again).columns == INTAKE.with_values(first).columns


def test_any_other_text_is_read_anew() -> None:
    met(array_of("Best"))
    for other in (array_of("Bes!"), array_of("Best", "Best"), array_of("Best")[:-1] + b" ]"):
        assert not isinstance(read(other), KnownElements), other[-60:]
    with pytest.raises(BadPayload, match="expected a JSON object"):
        read(array_of("Best")[:-1] + b',"]')


def test_of_another_table_only_the_elements_are_known() -> None:
    """A fingerprint depends on how a record becomes a row."""
    array = array_of("Best")
    met(array)
    other = Intake(parser=Parser(CUSTOMERS, ZoneInfo("Europe/Amsterdam")))
    found = other.read(read(array)).sent
    assert not found.known
    assert found.fingerprints == other.read(list(read(array))).sent.fingerprints


@settings(max_examples=60)
@given(st.lists(st.text(max_size=4), min_size=1, max_size=12), st.integers(-14, 14), st.integers(-14, 14), st.data())
def test_elements_of_a_known_array_are_those_of_a_list(
    texts: list[str], start: int, stop: int, data: st.DataObject
) -> None:
    parts = [json.dumps(text).encode() for text in texts]
    array = b"[" + b",".join(parts) + b"]"
    shape = shape_of(array, parts)
    assert shape
    split: list[bytes] = []

    def taken_apart(text: bytes) -> list[bytes]:
        split.append(text)
        return [json.dumps(part).encode() for part in json.loads(text)]

    remember(digest_of(array), Known(*shape, b"", b""))
    found = recognized(memoryview(array), taken_apart)
    assert found is not None
    assert (len(found), found[0], found[-1], found[-TAIL_KEYS:]) == (
        len(parts), parts[0], parts[-1], parts[-TAIL_KEYS:],
    )  # fmt: skip
    assert len(split) == 1
    assert len(split[0]) <= len(array)
    at = data.draw(st.integers(-len(parts), len(parts) - 1))
    assert (found[at], found[start:stop], found[start:], list(found)) == (
        parts[at], parts[start:stop], parts[start:], parts,
    )  # fmt: skip


def test_blanks_around_the_elements_make_an_array_that_is_not_kept() -> None:
    assert shape_of(b"[ 1,2]", [b"1", b"2"]) is None
    assert shape_of(b"[1, 2]", [b"1", b"2"]) is None
    assert shape_of(b"[]", []) is None


def test_only_so_many_are_kept_and_those_that_came_last() -> None:
    for number in range(KNOWN_ARRAYS + 2):
        remember(b"%d" % number, Known(1, 1, 1, b"", b""))
        remember(b"0", Known(1, 1, 1, b"", b""))
    assert len(known._KNOWN) == KNOWN_ARRAYS
    assert b"0" in known._KNOWN
    assert b"1" not in known._KNOWN


def test_a_page_goes_with_whoever_had_it_and_waits_for_no_search_for_cycles() -> None:
    array = array_of("Best")
    gc.disable()
    try:
        for _ in range(2):  # the second time it is known
            records = read(array)
            found = INTAKE.with_values(INTAKE.read(records))
            found.sent.keep(is_whole=True)
            assert len(found.fingerprints) == len(list(found.sent.keys)) == COUNT
            held = [weakref.ref(each) for each in (records, found.sent, found)]
            del records, found
            assert [each() for each in held] == [None, None, None]
    finally:
        gc.enable()


def test_keys_that_were_read_with_their_values_are_those_that_are_read_alone() -> None:
    odd = b'{"customer_id": "7", "city": {"name": "Oss"}}'
    records = [json.dumps({"customer_id": at, "city": "Oss"}).encode() for at in range(LATE_RECORDS)]
    for extra in ([], [odd], [b'{"city": "nowhere"}'], [records[3]], [b'{"customer_id": 3, "city": "Best"}']):
        page = [*records, *extra]
        found, alone = INTAKE.read(page, whole=True), INTAKE.read(page)
        assert list(found.sent.keys) == list(alone.sent.keys)
        assert found.fingerprints == alone.fingerprints
        assert len(set(found.together)) == len(found.together) >= LATE_RECORDS - 1
        places = [found.sent.places[key] for key in found.together]
        assert found.columns
        assert list(found.columns.values[0]) == [key[0] for key in found.together]
        again, _ = INTAKE.parser.columns(page, places)
        assert again
        assert [*map(list, again.values)] == [*map(list, found.columns.values)]
