"""`syncd sql`: as a table, a list and JSON."""

from tests.support.command import Say


def test_sql_prints_a_table_a_list_or_json(tell: Say) -> None:
    query = "SELECT customer_id, city FROM cyclesoftware.customers ORDER BY 1 LIMIT 2"
    assert tell("sql", query).out.split()[:2] == ["customer_id", "city"]
    assert "── row 1 ──" in tell("sql", "SELECT * FROM cyclesoftware.customers LIMIT 1").out
    assert [list(row) for row in tell("sql", query, "--json").json] == [["customer_id", "city"]] * 2
    assert "0 rows" in tell("sql", "SELECT 1 AS one WHERE false").out
