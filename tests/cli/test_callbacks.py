"""`syncd callbacks`: an address is registered, shown and cleared at the upstream."""

import pytest

from syncd.service.callbacks import registration
from tests.support.bench import Bench, MakeBench
from tests.support.callback_line import Line, open_line, true_of
from tests.support.command import syncd
from tests.support.daemon import serving, until


@pytest.fixture
async def line(make_bench: MakeBench) -> Line:
    return await open_line(make_bench)


async def test_registering_twice_changes_nothing(line: Line) -> None:
    url = await line.register()
    again = await line.command("register", "lease")
    assert (again.code, line.upstream.url) == (0, url)
    assert "registered already" in again.out
    assert line.bench.sandbox.requests[-1].method == "GET"


async def test_an_answer_that_is_lost_on_the_way_is_no_failure(line: Line) -> None:
    line.bench.sandbox.faults.add("truncated-body", api="cyclis", times=1, after=1)
    url = await line.register()
    posted = [entry for entry in line.bench.sandbox.requests if entry.method == "POST"]
    assert [entry.status for entry in posted] == [200, 400]
    assert registration.secret_of(url)
    assert (await line.command("status", "lease", "--json")).json["ours"] is True


async def test_the_address_is_shown_without_its_secret(line: Line) -> None:
    url = await line.register()
    ended = [await line.command(*words) for words in (["status", "lease"], ["status", "lease", "--json"])]
    assert all(end.code == 0 for end in ended)
    assert f"{line.base}/callbacks/lease/***" in ended[0].out
    secret = registration.secret_of(url)
    assert len(secret) >= 43
    kept = await line.bench.fetch("SELECT * FROM syncd.callbacks")
    assert secret not in "".join(end.out + end.err for end in ended) + repr(kept)


async def test_an_address_of_somebody_else_is_neither_replaced_nor_cleared_unasked(line: Line) -> None:
    line.upstream.url = "https://elsewhere.example/hooks/s3cr3t?key=k"
    for words, code in ((("register", "lease"), 1), (("clear", "lease"), 1), (("status", "lease"), 1)):
        ended = await line.command(*words)
        assert ended.code == code, words
        assert "https://elsewhere.example/hooks/***" in ended.out + ended.err
        assert "s3cr3t" not in ended.out + ended.err
        assert "key=k" not in ended.out + ended.err
    assert line.upstream.url == "https://elsewhere.example/hooks/s3cr3t?key=k"
    assert {entry.method for entry in line.bench.sandbox.requests} == {"GET"}
    assert (await line.command("register", "lease", "--replace")).code == 0
    assert line.upstream.url.startswith(f"{line.base}/callbacks/lease/")


async def test_an_upstream_that_does_not_tell_is_only_overwritten_at_the_word(line: Line) -> None:
    line.upstream.tells = False
    refused = await line.command("register", "lease")
    assert (refused.code, line.upstream.url) == (1, None)
    assert "does not tell" in refused.err
    assert (await line.command("clear", "lease")).code == 1
    assert (await line.command("register", "lease", "--replace")).code == 0
    url = line.upstream.url
    assert url.startswith(f"{line.base}/callbacks/lease/")
    status = await line.command("status", "lease")
    assert (status.code, "does not tell" in status.out) == (0, True)
    assert (await line.command("clear", "lease")).code == 0
    assert line.upstream.url is None


async def test_a_new_public_address_is_registered_in_place_of_the_old(line: Line) -> None:
    before = await line.register()
    moved = line.write('callbacks = true\ncallback_url = "https://sync.example.com/x/"', name="moved.toml")
    assert (await line.command("register", "lease", path=moved)).code == 0
    assert line.upstream.url.startswith("https://sync.example.com/x/callbacks/lease/")
    assert registration.secret_of(before) not in line.upstream.url
    assert len(await line.bench.fetch("SELECT * FROM syncd.callbacks")) == 1


async def test_clearing_forgets_the_address_here_too(line: Line) -> None:
    await line.register()
    assert (await line.command("clear", "lease")).code == 0
    assert line.upstream.url is None
    assert await line.bench.fetch("SELECT * FROM syncd.callbacks") == []
    again = await line.command("clear", "lease")
    assert (again.code, "nothing to do" in again.out) == (0, True)


@pytest.mark.parametrize(
    ("extra", "words", "code", "said"),
    [
        ("callbacks = false", ("register", "lease"), 2, "does not listen"),
        ("callbacks = true", ("register", "lease"), 2, "no public address"),
        ('callbacks = true\ncallback_url = "http://sync.example.com"', ("register", "lease"), 2, "loopback only"),
        ("callbacks = true", ("register", "nosuch"), 2, 'no source "nosuch"'),
    ],
)
async def test_what_is_missing_is_said(line: Line, extra: str, words: tuple[str, ...], code: int, said: str) -> None:
    ended = await line.command(*words, path=line.write(extra, name="wrong.toml"))
    assert (ended.code, said in ended.err) == (code, True), ended.err
    assert not line.bench.sandbox.requests


async def test_other_sources_refuse_the_option_and_the_command(bench: Bench) -> None:
    path = bench.config_file()
    ended = await syncd("callbacks", "status", "parts", "--config", path)
    assert (ended.code, "has no callbacks" in ended.err) == (2, True)
    path.write_text(path.read_text().replace('type = "ghs"', 'type = "ghs"\ncallbacks = true'))
    ended = await syncd("callbacks", "status", "parts", "--config", path)
    assert (ended.code, "sources.parts.callbacks" in ended.err) == (2, True)


async def test_nothing_but_the_command_touches_the_registration(line: Line) -> None:
    async with serving(line.path):
        await until(true_of(lambda: True))
    await syncd("check", "--config", line.path)
    await syncd("sync", "--config", line.path)
    assert line.asked("/orders") > 0
    assert line.asked("/callbacks") == 0
