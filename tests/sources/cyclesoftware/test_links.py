"""Lists of CycleSoftware that go on by links: of a link only the query is used, byte for byte."""

import asyncio
from typing import Any

import pytest

from syncd.clock import utc_now
from syncd.contract.errors import BadPayload, BadRequest, NotFound, UpstreamError
from syncd.contract.links import Linked, query_of, walk_links
from syncd.contract.paging import EndUnknown
from syncd.sources.cyclesoftware.paged_lists import fetch_linked
from syncd.upstream.wire import Request, Wire, http_session
from tests.support.sources.cyclesoftware import QUERY, Script, walk_of

TOKEN = "token=aB%2b+/Zz=="
ELSEWHERE = f"https://s01.cyclesoftware.nl/api/v2/other.json?{TOKEN}"
PATH = "/api/v3/list.json"
DAYS = [("date_start", "2026-01-01"), ("date_end", "2026-01-27")]


def page(*numbers: int, after: Any = ...) -> dict[str, Any]:
    return {"data": [{"n": n} for n in numbers], "pagination": {} if after is ... else {"next_url": after}}


async def walked(script: Script, *, resume: str = "", absent_ends: bool = False) -> list[Linked]:
    fetch = fetch_linked(walk_of(script), PATH, list, DAYS, absent_ends=absent_ends)
    return [piece async for piece in walk_links(fetch, resume=resume)]


@pytest.mark.parametrize(
    ("link", "query"),
    [
        (ELSEWHERE, TOKEN),
        ("?token=a+b", "token=a+b"),
        ("/api?token=a?b#c", "token=a?b"),
        ("//[?x=%zz", "x=%zz"),
        ("?token=a b\né", "token=a%20b%0A%C3%A9"),
    ],
)
def test_the_query_of_a_link_stays_as_it_is(link: str, query: str) -> None:
    assert query_of(link) == query


@pytest.mark.parametrize("link", ["", "https://s01.cyclesoftware.nl/a.json", "/a.json?", "?#x", 7, False, [], {}])
def test_a_link_without_a_query_is_a_loop(link: Any) -> None:
    with pytest.raises(BadPayload, match="paging loop"):
        query_of(link)


async def test_a_token_is_sent_alone_to_our_own_path() -> None:
    script = Script([page(1, 2, after=ELSEWHERE), page(3, after=None)])
    pieces = await walked(script)
    assert [(asked[1], asked[2]) for asked in script.asked] == [(PATH, dict(DAYS)), (PATH, {QUERY: TOKEN})]
    assert [piece.following for piece in pieces] == [TOKEN, None]


@pytest.mark.parametrize(
    ("link", "beside"),
    [
        ("?offset=7", dict(DAYS)),
        ("?date_start=x&offset=7", {"date_end": "2026-01-27"}),
        ("?offset=7&token=a", {}),
        ("?page=2", {}),
    ],
)
async def test_an_offset_in_a_link_counts_rows_of_our_own_question(link: str, beside: dict[str, str]) -> None:
    script = Script([page(1, 2, after=link), page(3, after=None)])
    await walked(script)
    assert script.asked[1][2] == {QUERY: link[1:], **beside}


@pytest.mark.parametrize(
    "pages",
    [
        [page(1, 2, after="?token=a"), page(3, after="?token=a")],
        [page(1, after="?token=a"), page(2, after="?token=b"), page(3, after="?token=a")],
        [page(1, 2, after=f"?token={n}") for n in range(9)],
        [page(after=f"?token={n}") for n in range(99)],
    ],
    ids=["the same link", "a ring", "the same page", "empty pages"],
)
async def test_a_loop_of_links_is_told(pages: list[Any]) -> None:
    with pytest.raises(BadPayload, match="paging loop"):
        await walked(Script(pages))


@pytest.mark.parametrize(
    "fault",
    [
        BadRequest("Invalid token", status=400),
        NotFound("gone", status=404),
        BadRequest("gone", status=410),
        BadPayload("an error inside", status=200),
    ],
)
async def test_a_place_that_the_server_no_longer_knows_starts_the_list_over(fault: UpstreamError) -> None:
    script = Script([fault, page(1, after=ELSEWHERE), page(2, after=None)])
    first, last = await walked(script, resume="token=old")
    assert [asked[2] for asked in script.asked] == [{QUERY: "token=old"}, dict(DAYS), {QUERY: TOKEN}]
    assert (first.starts_over, last.starts_over) == (True, False)
    with pytest.raises(UpstreamError):
        await walked(Script([fault, page(1, after=ELSEWHERE), fault]), resume="token=old")
    with pytest.raises(UpstreamError):
        await walked(Script([fault]))


@pytest.mark.parametrize("body", [page(1), {"data": [{"n": 1}]}, {"data": [{"n": 1}], "pagination": []}])
async def test_a_missing_link_is_the_end_only_where_that_is_documented(body: dict[str, Any]) -> None:
    with pytest.raises(EndUnknown) as caught:
        await walked(Script([body]))
    assert len(caught.value.records) == 1
    if "pagination" in body:
        (piece,) = await walked(Script([body]), absent_ends=True)
        assert piece.following is None
    else:
        with pytest.raises(EndUnknown):
            await walked(Script([body]), absent_ends=True)


async def test_a_query_reaches_the_server_byte_for_byte() -> None:
    lines: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await reader.readuntil(b"\r\n\r\n")).splitlines()[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, http_session() as http:
        wire = Wire(http, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", {}, clock=utc_now)
        for params in ((), (("a", "b+c"),)):
            await wire.send(Request(what="a list", method="GET", path="/x", query=TOKEN, params=params), {})
    assert lines == [f"GET /x?{TOKEN}{rest} HTTP/1.1".encode() for rest in ("", "&a=b%2Bc")]
