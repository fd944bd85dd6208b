"""`syncd rejects`: lists, shows, replays and drops."""

from tests.support.command import Say, assert_refused


def test_rejects_are_listed_without_contents_shown_with_them_and_replayed(tell: Say) -> None:
    listed = tell("rejects", "list", "lease", "--json")
    assert len(listed.json) >= 2
    assert "record" not in listed.json[0]
    shown = tell("rejects", "show", str(listed.json[0]["reject_id"]))
    assert '"7d444840-9dc0-11d1-b245-5ffdce74fad2"' in shown.out
    assert tell("rejects", "replay", "--json").json == {"replayed": 1, "left": len(listed.json) - 1}
    assert tell("sql", "SELECT name FROM cyclis.dealers WHERE name = 'Nieuw'", "--json").json == [{"name": "Nieuw"}]


def test_rejects_are_dropped_by_number_or_stream_once_it_is_confirmed(tell: Say) -> None:
    listed = tell("rejects", "list", "lease", "--json").json
    number = str(listed[0]["reject_id"])
    assert_refused("", tell("rejects", "drop", number), 2, "there is no terminal to confirm this on")
    assert_refused("", tell("rejects", "drop", "987654321", "--yes"), 2, "there is no reject 987654321")
    assert_refused("", tell("rejects", "drop", "9" * 30, "--yes"), 2, "there is no reject 999")
    assert_refused("", tell("rejects", "drop", "shop.nothing", "--yes"), 2, "matches no stream")
    assert tell("rejects", "list", "--json").json == listed
    assert tell("rejects", "drop", number, "--yes", "--json").json == {"dropped": 1}
    assert [row["reject_id"] for row in tell("rejects", "list", "--json").json] == [
        row["reject_id"] for row in listed[1:]
    ]
    assert tell("rejects", "drop", "shop.customers", "--yes").out == "0 dropped\n"
    assert tell("rejects", "drop", "lease.dealers", "--yes").out == f"{len(listed) - 1} dropped\n"
    assert tell("rejects", "list").out == "no rejects\n"
