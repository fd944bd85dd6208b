"""`syncd rejects`: lists, shows and replays."""

from tests.support.command import Say


def test_rejects_are_listed_without_contents_shown_with_them_and_replayed(tell: Say) -> None:
    listed = tell("rejects", "list", "lease", "--json")
    assert len(listed.json) >= 2
    assert "record" not in listed.json[0]
    shown = tell("rejects", "show", str(listed.json[0]["reject_id"]))
    assert '"7d444840-9dc0-11d1-b245-5ffdce74fad2"' in shown.out
    assert tell("rejects", "replay", "--json").json == {"replayed": 1, "left": len(listed.json) - 1}
    assert tell("sql", "SELECT name FROM cyclis.dealers WHERE name = 'Nieuw'", "--json").json == [{"name": "Nieuw"}]
