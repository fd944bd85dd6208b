"""`syncd check --budget`, and the same on the status page: what is needed a day, what is left, what to change."""

import aiohttp

from tests.support.bench import MakeBench
from tests.support.command import WallClock, syncd
from tests.support.daemon import serving, write

DAY = "[sources.shop.budget]\nper_day = {}\n"


async def test_the_budget_is_told_by_declarations_and_by_runs(make_bench: MakeBench) -> None:
    bench = await make_bench(time=WallClock(), customers=20)
    for _ in range(6):
        await bench.sync("shop.customers")
    path = write(bench, {"shop.customers": 'every = "5m"', "shop.stores": 'every = "1h"'})
    path.write_text(path.read_text().replace("[sources.shop.streams", DAY.format(2_000) + "[sources.shop.streams", 1))
    bench.sandbox.requests.clear()
    (found,) = (await syncd("check", "--budget", "--json", "--config", path)).json
    needs = {need["stream"]: need for need in found["needs"]}
    assert needs.keys() == {"customers", "stores"}
    assert (needs["customers"]["known_by"], needs["stores"]["known_by"]) == ("runs", "declaration")
    assert needs["stores"]["a_day"] == 24
    assert 288 <= needs["customers"]["a_day"] <= 310
    assert (found["limit"], found["fits"], found["changes"]) == (2_000, True, [])
    assert found["left_for_backfills"] == 2_000 * 0.8
    assert not bench.sandbox.requests
    async with serving(path) as url, aiohttp.ClientSession() as http:
        async with http.get(url) as page:
            assert "of the 2,000 that are allowed; 1,600 are left for backfills" in await page.text()
        async with http.get(f"{url}api/status") as answer:
            (source,) = (await answer.json())["sources"]
    assert source["forecast"]["a_day"] == found["a_day"]

    path.write_text(path.read_text().replace("per_day = 2000", "per_day = 200"))
    tight = await syncd("check", "--budget", "--config", path)
    assert tight.code == 2
    assert '[sources.shop.streams.customers] every = "15m" instead of every 5m' in tight.out
    nowhere = bench.folder / "nowhere.toml"
    nowhere.write_text(path.read_text().replace(bench.db_url, "postgresql://u@127.0.0.1:1/none"))
    nowhere.chmod(0o600)
    ended = await syncd("check", "--budget", "--config", nowhere)
    assert "no runs and no rows are known" in ended.err
    assert "shop: about" in ended.out
