"""`syncd status`: as a table and as JSON."""

from tests.support.command import Say


def test_status_shows_streams_and_budgets_and_the_same_as_json(tell: Say) -> None:
    shown = tell("status")
    assert shown.code == 0
    assert shown.row("shop.customers")[1:3] == ["fresh", "250"]
    assert shown.row("shop.leads")[1] == "never"
    assert shown.row("shop")[2] == "360"  # the budget, as the server's headers tell
    told = tell("status", "--json").json
    stream = next(entry for entry in told["streams"] if entry["stream"] == "customers")
    assert (stream["state"], stream["rows"]["alive"]) == ("fresh", 250)
