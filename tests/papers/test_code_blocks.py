"""The code in the papers works: configurations load, commands exist, queries are planned, Python compiles."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from syncd import cli, config
from syncd.errors import ConfigError
from syncd.sources import specs
from syncd.storage.postgres.database import Database
from tests.support.papers import Block, blocks

TOML = [block for block in blocks("toml") if re.search(r"^\[", block.text, re.MULTILINE)]
SHELL = list(blocks("sh"))
SQL = list(blocks("sql"))
OPERATORS = {"&&", "||", "|", ";", ">", ">>", "<", "&"}
NEEDED: Mapping[str, str] = {
    "cyclesoftware": 'type = "cyclesoftware"\nusername = "u"\npassword = "p"\n',
    "cyclis": 'type = "cyclis"\nbase_url = "https://cyclis.example.com"\napi_token = "t"\n',
    "autengo": 'type = "autengo"\nbase_url = "https://autengo.example.com"\napi_key = "k"\n'
    "dealer_alzura_id = 1\nuser_alzura_id = 1\n",
    "ghs": 'type = "ghs"\napi_key = "k"\nusername = "u"\npassword = "p"\n',
}
TYPE_OF = {"shop": "cyclesoftware", "lease": "cyclis", "cars": "autengo", "parts": "ghs"}
"""The names that the papers give to an account of each type."""


def whole(text: str) -> str:
    """Return a block as a whole configuration: the login of each source that it names is added where it is left out."""
    for name, type_ in TYPE_OF.items():
        head = f"[sources.{name}]\n"
        if f"[sources.{name}." in text and head not in text:
            text = f"{head}{NEEDED[type_]}\n{text}"
        for line in NEEDED[type_].splitlines() if head in text else []:
            [section] = re.findall(rf"^\[sources\.{name}\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
            if not re.search(rf"^{line.split(' ')[0]} =", section, re.MULTILINE):
                text = text.replace(head, f"{head}{line}\n")
    if "[sources." not in text:
        text = f"{text}\n[sources.shop]\n{NEEDED['cyclesoftware']}"
    text = re.sub(r'\{ env = "(?:NOTIFY|HEARTBEAT)_URL" \}', '"https://hooks.example.com/a-secret"', text)
    return re.sub(r'\{ (?:env|file|credential) = "[^"]*" \}', '"a-secret-of-some-length"', text)


@pytest.mark.parametrize("block", TOML, ids=lambda block: block.name)
def test_a_configuration_loads(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(whole(block.text))
    path.chmod(0o600)
    loaded = config.load(path, specs())
    assert (set(re.findall(r"\[sources\.(\w+)", block.text)) or {"shop"}) == set(loaded.sources)


def test_there_are_blocks_of_each_kind_and_wrong_ones_are_seen(tmp_path: Path) -> None:
    assert (len(TOML) > 5, len(SHELL) > 15, len(SQL) > 40) == (True, True, True)
    assert sum(len(syncd_calls(block.text)) for block in SHELL) > 40
    path = tmp_path / "config.toml"
    path.write_text(whole('[sources.shop.streams.customers]\nevry = "5m"\n'))
    with pytest.raises(ConfigError, match="evry"):
        config.load(path, specs())
    assert fault(["syncc"]) == "syncd syncc: there is no such command"
    assert fault(["sync", "--fulll"]) == "syncd sync: there is no option --fulll"
    assert fault(["rejects", "list", "--json"]) is None


def syncd_calls(text: str) -> list[list[str]]:
    """Return the words of each call of syncd in a block of shell, without the word syncd."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if word in OPERATORS:
                if words[:1] == ["syncd"]:
                    found.append(words[1:])
                words = []
            else:
                words.append(word)
    return [words for words in found if words]


def fault(words: list[str]) -> str | None:
    """Return what is wrong with the words after `syncd`: a command or an option that does not exist."""
    command: click.Command = cli.cli
    name = "syncd"
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        word = rest.pop(0)
        name = f"{name} {word}"
        found = command.get_command(click.Context(command), word)
        if found is None:
            return f"{name}: there is no such command"
        command = found
    # click keeps the help option that it builds first, so it is built as the generated pages expect it
    context = click.Context(command, help_option_names=["-h", "--help"])
    known = {
        option for parameter in command.get_params(context) for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in rest:
        option = word.split("=")[0]
        if option.startswith("-") and option not in known:
            return f"{name}: there is no option {option}"
    return None


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.name)
def test_a_command_exists_with_its_options(block: Block) -> None:
    assert [said for words in syncd_calls(block.text) if (said := fault(words))] == []


@pytest.mark.parametrize("block", list(blocks("python")), ids=lambda block: block.name)
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.name, "exec")


async def test_every_query_is_planned(db: Database) -> None:
    planned = 0
    async with db.connection() as conn:
        await conn.execute("CREATE SCHEMA IF NOT EXISTS my_schema")
        for block in SQL:
            for query in statements(block.text):
                if re.match(r"(SELECT|WITH|UPDATE|DELETE|INSERT)\b", query, re.IGNORECASE):
                    try:
                        await conn.execute(f"EXPLAIN {query}")
                    except Exception as error:
                        raise AssertionError(f"{block.name}: {error}\n{query}") from error
                    planned += 1
    assert planned > 40


def statements(text: str) -> list[str]:
    """Return the statements of a block without their comments."""
    plain = re.sub(r"--[^\n]*", "", text)
    return [statement.strip() for statement in re.split(r";\s*(?:\n|\Z)", plain) if statement.strip()]
