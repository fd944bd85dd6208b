"""Our own sources run the kit that plugins run, each with a stream of every way of paging that it has.

Every other stream is asked what is cheap, on one rig for each source: it mirrors everything, and then rests. Their
whole fault matrix, with every stream and what each run's record must say, is tests/promises/test_faults.py.
"""

from typing import ClassVar, Final

import pytest

from syncd.contract import links
from syncd.errors import UpstreamError
from syncd.sources import registry
from syncd.testing import Kit, forgotten, open_rig
from tests.support.matrix_streams import SIZES
from tests.support.search import sampled, trial

NOT_AS_SENT: Final = {
    "sales_orders": "the upstream repeats the fields of an order in each of its lines, the mirror holds them once",
    "trading_hours": "two weeks ahead are asked for, and the sandbox holds other days, too",
    "warehouse_backlog_items": "an empty `assignment` is sent as an empty list, and read as none",
    "account": "what tells of an identity document is left out of `userSettings`",
}
"""Streams whose rows are not compared with the upstream's records here, but in tests/sources."""


pytestmark = pytest.mark.usefixtures("kits")


class Ours(Kit):
    sizes = SIZES

    # minutes for all of them, and test_faults.py strikes harder
    test_no_fault_loses_a_row = pytest.mark.acceptance(Kit.test_no_fault_loses_a_row)


class TestCycleSoftware(Ours):
    source = registry()["cyclesoftware"]
    streams = ("customers", "stores")


@trial
class TestCyclis(Ours):
    source = registry()["cyclis"]
    streams = ("orders", "dealers")


@trial
class TestAutengo(Ours):
    source = registry()["autengo"]
    streams = ("vehicles", "makes")
    lines = "limit = 4"
    excused: ClassVar = {
        "odd_values_and_unknown_fields_are_kept vehicles": "the sandbox orders them by such a value",
        "unknown-field vehicles": "the row that begins a page by value is read again by a sweep only",
    }


class TestGhs(Ours):
    source = registry()["ghs"]
    streams = ("orders",)


@pytest.mark.parametrize("ours", sampled([TestCyclis, TestCycleSoftware, TestGhs, TestAutengo], every=2))
async def test_every_stream_mirrors_everything_and_then_rests(ours: type[Ours]) -> None:
    source, wrong = ours.source, []
    async with open_rig(source, sizes=SIZES, lines=ours.lines) as rig:
        for stream in (each for each in source.streams if not each.is_pushed):
            await rig.clean(stream.name)
            holds = await rig.holds(stream.name)
            told = [] if stream.name in NOT_AS_SENT else await rig.differences(stream.name)
            if stream.lookup:  # only some keys are asked for
                told = [each for each in told if not each.endswith(": is missing")]
            rig.time.pass_by(minutes=20)
            counts = (await rig.clean(stream.name)).counts
            if not holds or told or (counts.inserted, counts.updated, counts.deleted) != (0, 0, 0):
                wrong.append((stream.name, holds, told[:3], counts))
    assert wrong == []


async def test_a_walk_that_asks_for_a_forgotten_token_for_ever_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    source = registry()["cyclesoftware"]
    async with open_rig(source, sizes=SIZES) as rig:
        assert await forgotten.given_up(rig, "articles"), "no token was refused"
        await rig.fetch("DELETE FROM syncd.cursors")

        def never(_error: UpstreamError) -> bool:
            return False

        monkeypatch.setattr(links, "is_stale", never)
        with pytest.raises(AssertionError, match=r"no longer knows the place .* the third run after it is failed"):
            await forgotten.given_up(rig, "articles")
