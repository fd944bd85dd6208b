"""Our own sources run the kit that plugins run, each with a stream of every way of paging that it has.

Their whole fault matrix, with every stream and what each run's record must say, is tests/promises/test_faults.py.
"""

from typing import ClassVar

import pytest

from syncd.contract import links
from syncd.errors import UpstreamError
from syncd.sources import registry
from syncd.testing import Kit, forgotten, open_rig
from tests.support.matrix import SIZES


class Ours(Kit):
    sizes = SIZES

    # minutes for all of them, and test_faults.py strikes harder
    test_no_fault_loses_a_row = pytest.mark.acceptance(Kit.test_no_fault_loses_a_row)


class TestCycleSoftware(Ours):
    source = registry()["cyclesoftware"]
    streams = ("customers", "stores")


class TestCyclis(Ours):
    source = registry()["cyclis"]
    streams = ("orders", "dealers")


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
