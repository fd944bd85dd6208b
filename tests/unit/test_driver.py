"""What PostgreSQL says in another language is understood by its codes, and passed on as it is."""

import asyncpg
import pytest

from syncd.errors import DatabaseBusy, DatabaseChanged, DatabaseError, DatabaseUnavailable
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


LOCKS = "You might need to increase max_locks_per_transaction."
SHORT_OF = {
    "53100": ("could not extend file: No space left on device", DatabaseUnavailable, "Free disk space"),
    "53200": ("out of shared memory", DatabaseBusy, LOCKS),
    "54001": ("stack depth limit exceeded", DatabaseChanged, "Raise that limit"),
    "53400": ("temporary file size exceeds temp_file_limit (0kB)", DatabaseChanged, "Raise that limit"),
    "53300": ("sorry, too many clients already", DatabaseUnavailable, "max_connections"),
}


@pytest.mark.parametrize("code", SHORT_OF)
def test_what_a_server_has_too_little_of_is_told_and_only_a_full_disk_is_an_outage(code: str) -> None:
    message, kind, hint = SHORT_OF[code]
    with pytest.raises(kind) as told, translated("mirror"):
        raise asyncpg.PostgresError.new({"S": "ERROR", "V": "ERROR", "C": code, "M": message, "H": LOCKS})
    assert message in str(told.value)
    assert hint in str(told.value.hint)
