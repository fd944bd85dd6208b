"""The members of an answer: split once for each answer, and never those of another body."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from syncd.contract import Answer
from syncd.errors import BadPayload
from syncd.records.split import envelope

AT = datetime(2026, 11, 28, tzinfo=UTC)


def answer_of(body: bytes) -> Answer:
    return Answer(status=200, headers={}, body=body, sent_at=AT, served_at=None)


def test_an_answer_is_split_once_and_whoever_asks_may_change_what_he_got() -> None:
    answer = answer_of(b'{"data": [1, 2], "error": false}')
    first = envelope(answer)
    assert first == {"data": b"[1, 2]", "error": b"false"}
    data = first.pop("data")
    assert envelope(answer)["data"] is data


def test_answers_that_are_read_in_turns_keep_their_own_members() -> None:
    shop, lease = answer_of(b'{"a": 1}'), answer_of(b'{"a": 2}')
    assert [envelope(one)["a"] for one in (shop, lease, shop, lease)] == [b"1", b"2", b"1", b"2"]


def test_a_copy_with_a_masked_body_does_not_remember_the_secret() -> None:
    answer = answer_of(b'{"message": "the key hunter2 is wrong"}')
    assert envelope(answer)
    masked = replace(answer, body=answer.body.replace(b"hunter2", b"***"))
    assert envelope(masked) == {"message": b'"the key *** is wrong"'}


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>"])
def test_what_is_no_object_is_refused_each_time(body: bytes) -> None:
    answer = answer_of(body)
    for _ in range(2):
        with pytest.raises(BadPayload, match="expected a JSON object"):
            envelope(answer)
