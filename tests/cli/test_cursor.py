"""`syncd cursor`: shows, sets and resets."""

import msgspec

from tests.support.command import Say


def test_cursors_are_shown_set_and_reset(tell: Say) -> None:
    shown = tell("cursor", "show", "shop.customers", "--json")
    assert [(entry["kind"], list(entry["cursor"])) for entry in shown.json] == [("live", ["since"])]
    wanted = '{"since": "2026-01-31T00:00:00+00:00"}'
    assert tell("cursor", "set", "shop.customers", wanted).code == 0
    assert tell("cursor", "show", "shop.customers", "--json").json[0]["cursor"] == msgspec.json.decode(wanted)
    reset = tell("cursor", "reset", "shop.customers")
    assert (reset.code, "the next run lists everything" in reset.out) == (0, True)
    assert "no cursors yet" in tell("cursor", "show", "shop.customers").out
