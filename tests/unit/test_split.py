"""An answer and the long array in it are split together; whatever is not just that is split step by step."""

import msgspec
import pytest

from syncd.errors import BadPayload
from syncd.records.split import IN_PLACE, LONG_BYTES, SplitArray, elements, envelope

LONG = [{"id": place, "name": f"Zoë [{place}] {{}}", "tags": [1, [2]]} for place in range(LONG_BYTES // 40)]
ARRAY = msgspec.json.encode(LONG)
EACH = [msgspec.json.encode(record) for record in LONG]


def members_of(body: bytes) -> dict[str, bytes]:
    return {name: bytes(raw) for name, raw in msgspec.json.decode(body, type=dict[str, msgspec.Raw]).items()}


TOGETHER = {
    "in the middle": (b'{"error": false, "data" : %b , "pagination": {"next": null}}', b"data"),
    "alone": (b'{"customers":%b}', b"customers"),
    "after small brackets of others": (b' {"data":%b}\n', b"data"),
}


@pytest.mark.parametrize(("form", "name"), TOGETHER.values(), ids=TOGETHER)
def test_a_long_array_is_split_with_its_answer(form: bytes, name: bytes) -> None:
    members = envelope(form % ARRAY)
    array = members[name.decode()]
    assert isinstance(array, SplitArray)
    assert array == ARRAY
    assert elements(array, "data") == EACH
    assert members == members_of(form % ARRAY)


STEP_BY_STEP = {
    "two arrays": b'{"data":%b,"included":[1]}',
    "an array before it": b'{"errors":[],"data":%b}',
    "it stands deeper": b'{"data":{"items":%b}}',
    "its name comes again": b'{"data":%b,"data":7}',
    "brackets in a text before it": b'{"note":"see [1]","data":%b}',
    "brackets in a text behind it": b'{"data":%b,"note":"a]"}',
    "our own number stands elsewhere": b'{"data":%b,"n":' + IN_PLACE + b"}",
}


@pytest.mark.parametrize("form", STEP_BY_STEP.values(), ids=STEP_BY_STEP)
def test_any_other_answer_has_the_members_that_it_has(form: bytes) -> None:
    body = form.replace(b"%b", ARRAY)
    members = envelope(body)
    assert members == members_of(body)
    assert not any(isinstance(raw, SplitArray) for raw in members.values())


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"[' + b"x" * LONG_BYTES + b']"',
        b'{"data":' + ARRAY,
        b'{"data":' + ARRAY[:-1],
        b'{"data" ' + ARRAY + b"}",
        b'{"a":"[",' + b"1," * LONG_BYTES + b'"]"}',
    ],
)
def test_text_that_is_no_object_is_refused_however_long(body: bytes) -> None:
    with pytest.raises(BadPayload, match="expected a JSON object"):
        envelope(body)


def test_bad_utf_8_in_a_long_array_is_mended() -> None:
    body = b'{"data":%b}' % ARRAY.replace(b"Zo\xc3\xab [7]", b"Zo\xeb [7]")
    found = elements(envelope(body)["data"], "data")
    assert len(found) == len(EACH)
    assert found[7] == b'{"id":7,"name":{"$base64":"Wm/rIFs3XSB7fQ=="},"tags":[1,[2]]}'
    assert found[8] == EACH[8]
