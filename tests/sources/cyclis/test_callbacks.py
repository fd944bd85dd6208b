"""Cyclis' callbacks: what they name, and how their address is registered."""

import json
import uuid
from dataclasses import replace
from typing import Any

import pytest

from syncd.contract import CannotTell
from syncd.errors import BadPayload, NotFound, ScopeMissing
from syncd.sources.cyclis import SOURCE
from tests.support.sources.cyclis import (
    ID,
    OPTIONS,
    ORDER,
    SAMPLE_ID,
    Script,
    pages_of,
    walk_of,
)

CALLED = "095be615-a8ad-4c33-8e9c-c7612fbf6c9f"  # of the vendor's sample

SAMPLE_CALL = {"data": {"type": "orderCallback", "attributes": {"uuid": CALLED}}}

URL = "https://sync.example.com/callbacks/lease/x"

CALLBACK_OPTIONS = {**OPTIONS, "callbacks_path": "/callbacks", "callbacks_field": "url"}

assert SOURCE.callbacks
CALLBACKS = SOURCE.callbacks


def test_the_sample_of_a_callback_names_an_order() -> None:
    assert CALLBACKS.named(json.dumps(SAMPLE_CALL).encode()) == (uuid.UUID(CALLED),)
    assert CALLBACKS.named(json.dumps(SAMPLE_CALL).replace(CALLED, CALLED.upper()).encode()) == (uuid.UUID(CALLED),)


def test_a_callback_of_another_type_names_nothing() -> None:
    assert CALLBACKS.named(json.dumps({"data": {"type": "companyCallback"}}).encode()) is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{}", b'"x"', b"\xff", b"[" * 4000, b'{"data": null}', b'{"data": {"type": null}}',
        b'{"data": {"type": "orderCallback"}}', b'{"data": {"type": "orderCallback", "attributes": {"uuid": 1}}}',
        json.dumps(SAMPLE_CALL).replace(CALLED, f"{CALLED}/..").encode(),
        json.dumps(SAMPLE_CALL).replace(CALLED, CALLED.replace("-", "")).encode(),
        json.dumps(SAMPLE_CALL).replace(CALLED, f"{{{CALLED}}}").encode(),
        json.dumps([SAMPLE_CALL]).encode(),
    ],
)  # fmt: skip
def test_a_callback_of_another_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadPayload):
        CALLBACKS.named(body)


@pytest.mark.parametrize(
    ("told", "url"),
    [
        ({"data": {"type": "callback", "attributes": {"url": URL}}}, URL),
        ({"data": [{"type": "callback", "attributes": {"callback_url": URL}}]}, URL),
        ({"url": URL, "links": {"self": "https://api.cyclis.example/v1/callbacks"}}, URL),
        ({"data": {"url": URL, "again": URL}}, URL),
        ({"data": None}, None),
        ({"data": []}, None),
        ({}, None),
    ],
)
async def test_the_registered_address_is_read_whatever_its_field_is_called(told: Any, url: str | None) -> None:
    upstream = Script([told])
    assert await CALLBACKS.registered(upstream, CALLBACK_OPTIONS) == url
    assert upstream.asked == [("/callbacks", {})]


@pytest.mark.parametrize(
    "told",
    [
        NotFound("404"), ScopeMissing("403"), {"data": {"id": "1"}}, {"data": {"a": URL, "b": f"{URL}2"}}, b"", b"[]",
        b"<html>",
    ],
)  # fmt: skip
async def test_an_upstream_that_says_nothing_clear_does_not_tell(told: Any) -> None:
    with pytest.raises(CannotTell):
        await CALLBACKS.registered(Script([told]), CALLBACK_OPTIONS)


async def test_a_named_order_is_asked_for_by_its_id_and_speaks_for_no_other() -> None:
    upstream = Script([{"data": ORDER}, NotFound("404"), {"data": [ORDER]}])
    other = uuid.UUID(CALLED)
    walk = replace(walk_of(upstream, "callback"), named=[(SAMPLE_ID,), (other,), (SAMPLE_ID,)])
    pages = await pages_of("orders", walk)
    assert [path for path, _ in upstream.asked] == [f"/orders/{ID}", f"/orders/{CALLED}", f"/orders/{ID}"]
    assert [len(page.records) for page in pages] == [1, 0, 1]
    assert {(page.cursor, page.scope, page.whole_walk) for page in pages} == {(None, None, False)}


async def test_another_order_than_was_asked_for_fails_the_walk() -> None:
    walk = replace(walk_of(Script([{"data": ORDER}]), "callback"), named=[(uuid.UUID(CALLED),)])
    with pytest.raises(BadPayload, match="something else"):
        await pages_of("orders", walk)
