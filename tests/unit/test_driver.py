"""What PostgreSQL says in another language is understood by its codes, and passed on as it is."""

import asyncpg
import pytest

from syncd.errors import DatabaseError
from syncd.storage.postgres.driver import translated

GERMAN = {
    "Anfrage würde von Policy für Sicherheit auf Zeilenebene für Tabelle »customers« betroffen sein": (
        {"C": "42501", "R": "check_enable_rls"}, "BYPASSRLS",
    ),
    "keine Berechtigung für Tabelle customers": ({"C": "42501", "R": "aclcheck_error"}, "deploy/roles.sql"),
    "Relation »syncd.runs« existiert nicht": ({"C": "42P01", "R": "parserOpenTable"}, "syncd migrate"),
    "konnte Sperre für Relation »customers« nicht setzen": ({"C": "55P03", "R": "lock"}, "pg_stat_activity"),
}  # fmt: skip


@pytest.mark.parametrize("message", GERMAN)
def test_a_message_in_another_language_has_the_hint_of_the_english_one(message: str) -> None:
    fields, hint = GERMAN[message]
    with pytest.raises(DatabaseError) as told, translated("mirror"):
        raise asyncpg.PostgresError.new({"S": "FEHLER", "V": "ERROR", "M": message, **fields})
    assert message in str(told.value)
    assert hint in str(told.value.hint)
