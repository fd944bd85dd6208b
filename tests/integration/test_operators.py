"""What operators do on the status page, over HTTP: who is let in, what is kept, and what the daemon makes of it."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from syncd.config import Http, Secret
from syncd.service import web
from syncd.service.notify import Watch
from syncd.service.operations import Operations
from syncd.service.web.sessions import COOKIE, SIGNED_IN_FOR
from syncd.status import Pair
from tests.support.bench import Bench, MakeBench
from tests.support.daemon import Events, Now, count, more, until, write
from tests.support.daemon import serving as living
from tests.support.site import reader_of

TOKEN = "a-token-of-an-operator-0123"
CAUSE = "shop ScopeMissing"


@dataclass
class Browser:
    """What keeps cookies and follows redirects, as a browser does, below a path or not."""

    url: str
    http: aiohttp.ClientSession

    async def get(self, path: str = "", **headers: str) -> str:
        async with self.http.get(f"{self.url}{path}", headers=headers) as answer:
            return await answer.text()

    async def post(self, path: str, form: Mapping[str, str], **headers: str) -> tuple[int, str]:
        async with self.http.post(f"{self.url}{path}", data=form, headers=headers) as answer:
            return answer.status, await answer.text()

    async def key(self) -> str:
        found = re.search(r'name="key" value="([0-9a-f]+)"', await self.get())
        return found[1] if found else ""

    async def sign_in(self, token: str = TOKEN, **headers: str) -> int:
        return (await self.post("operator", {"token": token}, **headers))[0]

    async def act(self, action: str, subject: str, **more: str) -> tuple[int, str]:
        return await self.post("operator/act", {"action": action, "subject": subject, "key": await self.key(), **more})


class Asked(list[Pair]):
    """The streams that were to run now."""


@asynccontextmanager
async def served(bench: Bench, asked: Asked | None = None, **options: Any) -> AsyncIterator[Browser]:
    reader, heard = reader_of(bench), Asked() if asked is None else asked
    operations = Operations(
        config=lambda: bench.config, database=lambda: bench.db, clock=bench.time.now, run_now=heard.extend,
        changed=reader.clear_status,
    )  # fmt: skip
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "operator_token": Secret(TOKEN),
        "user_header": "Remote-User",
    } | options
    async with (
        web.serving(reader, Http(**given), operations=operations) as url,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        assert url is not None
        path = given.get("path", "")
        yield Browser(f"{url.rstrip('/')}{path}/", http)


async def audit(bench: Bench) -> list[tuple[str, str, str, str]]:
    rows = await bench.fetch("SELECT actor, action, subject, details FROM syncd.audit ORDER BY audit_id")
    return [tuple(row) for row in rows]


@pytest.fixture
async def failing(bench: Bench) -> Bench:
    """A bench with a stream that lacks its scope."""
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="stores")
    await bench.sync("shop.stores")
    return bench


async def test_only_who_knows_the_token_acts_and_only_from_the_page_itself(failing: Bench) -> None:
    async with served(failing) as browser:
        form = {"action": "acknowledge", "subject": CAUSE}
        page = await browser.get()
        assert ("Sign in</a> to act" in page, "Acknowledge</button>" in page) == (True, False)
        assert (await browser.post("operator/act", form))[0] == 403
        assert await browser.sign_in("not-the-token-of-anybody") == 403
        assert await browser.sign_in(**{"Sec-Fetch-Site": "cross-site"}) == 403
        assert await browser.key() == ""
        assert await browser.sign_in() == 200
        cookie = next(one for one in browser.http.cookie_jar if one.key == COOKIE)
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
        key = await browser.key()
        assert "Acknowledge</button>" in await browser.get()
        for wrong, headers in (
            ({"key": ""}, {}), ({"key": "0" * 64}, {}), ({}, {}), ({"key": key}, {"Sec-Fetch-Site": "cross-site"}),
        ):  # fmt: skip
            code, text = await browser.post("operator/act", form | wrong, **headers)
            assert (code, "Reload the page" in text) == (403, True)
        async with browser.http.get(f"{browser.url}operator/act", params=form | {"key": key}) as answer:
            assert answer.status == 405
        for action, subject, code in (("drop", CAUSE, 400), ("pause", "shop.nothing", 400), ("pause", "shop.*", 400)):
            assert (await browser.act(action, subject))[0] == code
        assert await audit(failing) == []
        assert (await browser.act("acknowledge", CAUSE))[0] == 200
        assert (await browser.post("operator/out", {"key": key}))[0] == 200
        assert await browser.key() == ""
        assert (await browser.post("operator/act", form | {"key": key}))[0] == 403
        assert await browser.sign_in() == 200
        failing.time.pass_by(hours=SIGNED_IN_FOR.total_seconds() / 3600)
        assert await browser.key() == ""
        assert await audit(failing) == [("operator", "acknowledge", CAUSE, "acknowledged until it is over")]


URLENCODED = "application/x-www-form-urlencoded"
ODD_FORMS = [
    (f"{URLENCODED}; charset=klingon", b"a=b"),
    (URLENCODED, b"action=%ff&subject=%00&key=%ed%a0%80"),
    ("multipart/form-data", b"a=b"),
    ("multipart/form-data; boundary=x", b"no boundary"),
    ("multipart/form-data; boundary=" + "x" * 300, b"--x"),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a\x00"\r\n\r\nb\r\n--x--\r\n'),
    ("multipart/form-data; boundary=x", b"--x\r\n" + b"A: b\r\n" * 9000 + b"\r\n"),
]


async def test_no_form_of_a_stranger_is_a_defect(failing: Bench, events: Events) -> None:
    async with served(failing) as browser:
        for path in ("operator", "operator/act", "operator/out"):
            for kind, body in ODD_FORMS:
                url, headers = f"{browser.url}{path}", {"Content-Type": kind}
                async with browser.http.post(url, data=body, headers=headers) as answer:
                    assert answer.status in (400, 403), (path, kind, body[:40])
    assert "page_failed" not in [event["event"] for event in events]
    assert await audit(failing) == []


async def test_what_somebody_knows_is_shown_apart_kept_and_audited(failing: Bench) -> None:
    async with served(failing) as browser:
        await browser.sign_in()
        page = await browser.get()
        assert ("Needs a look</h2>" in page, "Known to somebody" in page) == (True, False)
        assert "Ask the vendor for the scope" in page
        await browser.act("acknowledge", CAUSE)
        page = await browser.get(**{"Remote-User": "anna"})
        assert ("Needs a look</h2>" in page, "Known to somebody" in page) == (False, True)
        assert ("Nothing new; 1 cause is known" in page, 'h1 class="good"' in page) == (True, False)
        key = await browser.key()
        muted = {"action": "mute", "subject": CAUSE, "for": "8h", "key": key}
        await browser.post("operator/act", muted, **{"Remote-User": "anna"})
        page = await browser.get()
        assert "Muted" in page
        assert "by anna" in page
        async with served(failing, trusted_proxies=(ip_network("10.0.0.0/8"),)) as stranger:  # we are not that proxy
            await stranger.sign_in()
            form = {"action": "withdraw", "subject": "another cause", "key": await stranger.key()}
            assert (await stranger.post("operator/act", form, **{"Remote-User": "anna"}))[0] == 200
        async with served(failing) as other:  # another visitor, who may not act
            page = await other.get()
            assert ("Known to somebody" in page, "anna" in page) == (True, False)
        assert (await browser.act("mute", CAUSE, **{"for": "400d"}))[0] == 400
        failing.time.pass_by(hours=8.1)
        await browser.sign_in()
        assert "Needs a look</h2>" in await browser.get(), "a mute runs out"
        await browser.act("acknowledge", CAUSE)
        await browser.act("withdraw", CAUSE)
        assert "Needs a look</h2>" in await browser.get()
        assert [row[:2] for row in await audit(failing)] == [
            ("operator", "acknowledge"), ("anna", "mute"), ("operator", "withdraw"), ("operator", "acknowledge"),
            ("operator", "withdraw"),
        ]  # fmt: skip


async def test_a_script_acts_with_the_token_alone(failing: Bench) -> None:
    asked = Asked()
    async with served(failing, asked) as browser:
        right = {"Authorization": f"Bearer {TOKEN}"}
        code, text = await browser.post("operator/act", {"action": "sync", "subject": "shop.customers"}, **right)
        assert (code, text) == (200, '{"done":"shop.customers: runs now"}')
        assert asked == [("shop", "customers")]
        code, text = await browser.post(
            "operator/act", {"action": "sync", "subject": "shop"}, Authorization="Bearer nobody"
        )
        assert (code, "not that of the configuration" in text) == (403, True)
        code, text = await browser.post("operator/act", {"action": "mute", "subject": CAUSE, "for": "soon"}, **right)
        assert (code, "expected a duration" in text) == (400, True)
        assert (await browser.post("operator/act", {"action": "pause", "subject": "shop.stores"}, **right))[0] == 200
        code, text = await browser.post("operator/act", {"action": "sync", "subject": "shop.stores"}, **right)
        assert (code, "shop.stores is paused. Resume it first." in text) == (400, True)
        assert await audit(failing) == [
            ("operator", "sync", "shop.customers", "runs now"), ("operator", "pause", "shop.stores", "paused"),
        ]  # fmt: skip
        page = await browser.get("streams/shop/stores")
        assert "paused by an operator" in page


async def test_an_acknowledgement_ends_with_its_cause_and_a_mute_at_its_time(failing: Bench) -> None:
    config = replace(failing.config, http=Http(operator_token=Secret(TOKEN)))  # nobody is notified
    reader = reader_of(failing)
    watch = Watch(reader, config=lambda: config, database=lambda: failing.db, clock=failing.time.now)

    async def known() -> list[str]:
        await watch.look()
        return [row["cause"] for row in await failing.fetch("SELECT cause FROM syncd.acknowledgements ORDER BY cause")]

    async with served(failing) as browser:
        right = {"Authorization": f"Bearer {TOKEN}"}
        await browser.post("operator/act", {"action": "acknowledge", "subject": CAUSE}, **right)
        await browser.post("operator/act", {"action": "mute", "subject": "cars late", "for": "1h"}, **right)
    assert await known() == ["cars late", CAUSE]
    failing.sandbox.faults.clear()
    await failing.sync("shop.stores")
    assert await known() == ["cars late"]
    failing.time.pass_by(hours=1)
    await failing.sync("shop.stores")
    assert await known() == []


async def test_without_a_token_nothing_can_be_done(failing: Bench) -> None:
    async with served(failing, operator_token=None) as browser:
        assert "This page only reads" in await browser.get()
        for path in ("operator", "operator/act", "operator/out"):
            assert (await browser.post(path, {"token": "", "action": "pause", "subject": "shop"}))[0] == 404
        assert TOKEN not in await browser.get()


async def test_everything_works_below_a_path_whether_or_not_the_proxy_takes_it_off(failing: Bench) -> None:
    async with served(failing, path="/tools/syncd") as browser:
        assert await browser.sign_in() == 200
        cookie = next(one for one in browser.http.cookie_jar if one.key == COOKIE)
        assert cookie["path"] == "/tools/syncd"
        assert (await browser.act("acknowledge", CAUSE))[0] == 200
        root = browser.url.removesuffix("/tools/syncd/")
        met = set()
        for path in ("", "streams/shop/stores", "runs/1", "runs/999", "operator", "?q=shop"):
            page = await browser.get(path)
            links = re.findall(r'(?:href|src|action)="([^"#?][^"]*)"', page)
            assert len(links) > 8
            assert [link for link in links if not link.startswith("/tools/syncd/")] == []
            met |= {urlsplit(link).path for link in links if "operator/" not in link}
        assert len(met) > 20
        for link in sorted(met):
            for place in (link, link.removeprefix("/tools/syncd")):
                async with browser.http.get(f"{root}{place}") as answer:
                    assert answer.status in ((200, 503) if link.endswith("freshz") else (200,)), place
        async with browser.http.get(f"{root}/tools/syncd", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (308, "/tools/syncd/")


async def test_an_operator_runs_pauses_and_resumes_streams_of_a_daemon(make_bench: MakeBench) -> None:
    bench = await make_bench(time=Now(), customers=30)
    extra = f'operator_token = "{TOKEN}"'
    path = write(bench, {"shop.customers": 'every = "1h"', "shop.stores": 'every = "1h"'}, extra=extra)
    paused = {"shop.customers": 'every = "1s"', "shop.stores": 'every = "1s"'}
    right = {"Authorization": f"Bearer {TOKEN}"}
    customers = "syncd.runs WHERE stream = 'customers' AND outcome = 'ok'"
    async with living(path) as url, aiohttp.ClientSession() as http:
        browser = Browser(url, http)

        async def act(action: str) -> int:
            form = {"action": action, "subject": "shop.customers"}
            return (await browser.post("operator/act", form, **right))[0]

        assert await act("sync") == 200
        await until(lambda: count(bench, customers))
        page = await browser.get("runs/1")
        assert ("Run 1" in page, "Lines of the log" in page) == (True, True)
        assert await act("pause") == 200
        assert "an operator paused it" in await browser.get("api/status")
        assert await act("sync") == 400
        before = await count(bench, customers)
    path = write(bench, paused, extra=extra)
    async with living(path) as url, aiohttp.ClientSession() as http:  # it is kept over a restart
        browser = Browser(url, http)
        await until(lambda: more(bench, "syncd.runs WHERE stream = 'stores'", 1))
        assert await count(bench, customers) == before
        assert await act("resume") == 200
        await until(lambda: count(bench, f"{customers} AND run_id > $1", before))
    assert [row[1] for row in await audit(bench)] == ["sync", "pause", "resume"]
