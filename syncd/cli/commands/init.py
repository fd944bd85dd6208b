"""`syncd init`: writes a commented configuration, by asking or from flags, and never over one that is there.

Owns the words of the file. A secret that is typed goes into a file of its own; on the command line only the place of
one is taken, because everybody on the machine can read that line.
"""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from syncd import config as configuration
from syncd.cli import console, proposals
from syncd.cli.options import command, config_option_with
from syncd.config.address import EMBEDDED, parse_base_url, parse_database_url, password_of
from syncd.config.draft import Draft, quoted, source, whole
from syncd.config.model import SourceSpec
from syncd.config.option import REQUIRED
from syncd.config.toml import read_toml, suggest
from syncd.errors import ConfigError, SyncdError, UsageError
from syncd.sources import refused, specs


@command(
    examples=[
        ("syncd init", "asks for everything; what is secret is not shown"),
        ("syncd init --type cyclesoftware --name shop --set username=u", "the password will stand in $SHOP_PASSWORD"),
        ("syncd init --add --type ghs --name parts --set username=u", "one more source, in the file that is there"),
        (
            "syncd init --type cyclesoftware --set username=u --set password=file:secrets/p",
            "another place of the secret",
        ),
    ]
)
@click.option("--type", "source_type", metavar="TYPE", shell_complete=proposals.types, help="Type of the source.")
@click.option("--name", metavar="NAME", help="Its name, which becomes the column `source`.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE",
    help="An option of the source. Of a secret only its place: env:NAME, file:PATH or credential:NAME.",
)  # fmt: skip
@click.option(
    "--database", "database_url", metavar="ADDRESS",
    help="postgresql://user@host/database, or its place like that of a secret [default: embedded].",
)  # fmt: skip
@click.option("--add", is_flag=True, help="Add the source to a file that is there.")
@config_option_with("Write this file [default: $SYNCD_CONFIG, ./config.toml].")
def init(
    source_type: str | None,
    name: str | None,
    settings: tuple[str, ...],
    database_url: str | None,
    add: bool,
    config_path: Path | None,
) -> int:
    """Write a commented configuration.

    Asks on a terminal, or takes flags. A secret that is typed goes into a file of its own that only you can read; on
    the command line only the place of one is taken. Never overwrites a file.
    """
    return write_configuration(
        config_path, source_type=source_type, name=name, settings=settings, database_url=database_url, add=add
    )


PLACES: Final = ("env", "file", "credential")


@dataclass(kw_only=True)
class _Typed:
    """Secrets that were typed, by the file that each is to lie in, relative to the configuration."""

    files: dict[str, str] = field(default_factory=dict)

    def keep(self, name: str, secret: str) -> str:
        """Keep a secret to be written, and return the TOML that refers to it."""
        self.files[f"secrets/{name}"] = secret
        return f'{{ file = "secrets/{name}" }}'


def write_configuration(
    path: Path | None,
    *,
    source_type: str | None,
    name: str | None,
    settings: Sequence[str],
    database_url: str | None,
    add: bool,
) -> int:
    """Write the configuration, or with `add` one more source to it; says what to do next."""
    path = (path or Path(os.environ.get("SYNCD_CONFIG") or "config.toml")).absolute()
    if not add and os.path.lexists(path):
        raise UsageError(f"{path} is there already", hint="Add a source to it with --add, or name another file.")
    if add and not path.is_file():
        raise UsageError(f"{path} is not there", hint="Leave --add out to write a new one.")
    if add and database_url:
        raise UsageError("--database goes into a new file", hint=f"Edit [database] in {path}.")
    typed = _Typed()
    if source_type:
        spec = _spec(source_type)
        drafts = [_from_flags(spec, name or spec.example_name, settings)]
        url = _database(database_url)
    elif name or settings:
        raise UsageError("--type is missing", hint=f"One of: {', '.join(specs())}")
    elif not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask on", hint="syncd init --type cyclesoftware --name shop --set username=u"
        )
    else:
        try:
            drafts = _asked(typed)
            url = _database(database_url) if database_url or add else _asked_database(typed)
        except click.Abort:
            console.print_note("nothing was written")
            raise
    body = "\n\n".join(source(draft) for draft in drafts)
    _check(path, whole(quoted(EMBEDDED), body))  # the database may be one that cannot be asked for here and now
    text = f"{_before(path, drafts).rstrip()}\n\n\n{body}" if add else whole(url, body)
    _write(path, text, typed, replace=add)
    _say_next(path)
    return 0


# --- From flags -------------------------------------------------------------------------------------------------------


def _spec(source_type: str) -> SourceSpec:
    known = specs()
    if source_type not in known:
        raise UsageError(f"--type {source_type}: no such type; {suggest(source_type, list(known))}")
    return known[source_type]


def _from_flags(spec: SourceSpec, name: str, settings: Sequence[str]) -> Draft:
    """Return the source that the flags describe; what is required and missing is told at once."""
    draft = Draft(spec=spec, name=name)
    known = ["base_url", *spec.options]
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign or not value:
            raise UsageError(f"--set {key}: no value", hint="--set username=u")
        if key not in known:
            raise UsageError(f"--set {key}: unknown key; {suggest(key, known)}")
        option = spec.options.get(key)
        if option and option.kind == "secret":
            draft.values[key] = _place(f"--set {key}", value)
        else:
            draft.values[key] = _toml(option.kind if option else "str", value, f"--set {key}")
    for key, option in spec.options.items():
        if option.kind == "secret" and key not in draft.values and option.default is REQUIRED:
            draft.values[key] = f'{{ env = "{configuration.variable(name, key)}" }}'
    missing = [key for key in _required(spec) if key not in draft.values]
    if missing:
        words = " ".join(f"--set {key}=…" for key in missing)
        raise UsageError(f"{spec.type} needs {', '.join(missing)}", hint=f"Add {words}, or run syncd init to be asked.")
    return draft


def _required(spec: SourceSpec) -> list[str]:
    keys = [key for key, option in spec.options.items() if option.default is REQUIRED]
    return keys if spec.base_url else ["base_url", *keys]


def _place(what: str, value: str) -> str:
    """Return the TOML of a secret's place; the value is never repeated, for it may be the secret itself."""
    kind, _, name = value.partition(":")
    if kind not in PLACES or not name:
        raise UsageError(
            f"{what}: everybody on this machine can read the command line, so only the place of a secret is taken",
            hint="env:NAME, file:PATH or credential:NAME; or run syncd init on a terminal and type it there.",
        )
    return f"{{ {kind} = {quoted(str(Path(name).absolute()) if kind == 'file' else name)} }}"


def _database(value: str | None) -> str:
    """Return the TOML of the database's address, from a flag."""
    value = value or EMBEDDED
    if value.partition(":")[0] in PLACES:
        return _place("--database", value)
    try:
        address = parse_database_url(value)
    except ValueError as wrong:
        raise UsageError(f"--database: {wrong}") from None
    if password_of(address):
        raise UsageError(
            "--database: the address holds a password, which everybody on this machine can read here",
            hint="--database env:DATABASE_URL or file:PATH, or leave the password to ~/.pgpass.",
        )
    return quoted(address)


def _toml(kind: str, value: str, what: str) -> str:
    """Return the TOML of a value that is no secret."""
    match kind:
        case "int" | "float" if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
            raise UsageError(f"{what}: expected a number, found {value!r}")
        case "bool" if value not in ("true", "false"):
            raise UsageError(f"{what}: expected true or false, found {value!r}")
        case "int" | "float" | "bool":
            return value
        case "list[str]" | "list[int]":
            return f"[{', '.join(_toml(kind[5:-1], part.strip(), what) for part in value.split(','))}]"
    return quoted(value)


# --- By asking --------------------------------------------------------------------------------------------------------


def _asked(typed: _Typed) -> list[Draft]:
    """Ask for sources, one after the other."""
    known, drafts = specs(), list[Draft]()
    while True:
        source_type = click.prompt("Type of the source", type=click.Choice(list(known)), err=True)
        proposed = known[source_type].example_name
        taken = {draft.name for draft in drafts}
        name = click.prompt(
            "Its name (it becomes the column `source`)", default=None if proposed in taken else proposed,
            value_proc=_checked(partial(_free_name, taken)), err=True,
        )  # fmt: skip
        draft = Draft(spec=known[source_type], name=name)
        for key in _required(draft.spec):
            draft.values[key] = _answer(draft, key, typed)
        drafts.append(draft)
        if not click.confirm("Another source?", default=False, err=True):
            return drafts


def _answer(draft: Draft, key: str, typed: _Typed) -> str:
    option = draft.spec.options.get(key)
    if option is None:
        proc = _checked(lambda text: quoted(parse_base_url(text)))
        return str(click.prompt("Address of the API, such as https://api.example.com", value_proc=proc, err=True))
    if option.kind != "secret":
        asked = f"{key} ({option.comment})" if option.comment else key
        kind = option.kind
        return str(click.prompt(asked, value_proc=_checked(lambda text: _toml(kind, text, key)), err=True))
    variable = configuration.variable(draft.name, key)
    secret = click.prompt(
        f"{key} (not shown, kept in a file of its own; empty: ${variable} will hold it)",
        hide_input=True, default="", show_default=False, err=True,
    )  # fmt: skip
    return typed.keep(f"{draft.name}_{key}", secret) if secret else f'{{ env = "{variable}" }}'


def _asked_database(typed: _Typed) -> str:
    address = click.prompt(
        "Database (embedded: a private PostgreSQL of syncd; or postgresql://user@host/database)", default=EMBEDDED,
        value_proc=_checked(parse_database_url), err=True,
    )  # fmt: skip
    return typed.keep("database_url", address) if password_of(address) else quoted(address)


def _checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let a question be asked again where the answer is refused."""

    def proc(text: str) -> Any:
        try:
            return parse(text)
        except (ValueError, SyncdError) as wrong:
            raise click.UsageError(str(wrong)) from None

    return proc


def _free_name(taken: set[str], text: str) -> str:
    if not re.fullmatch(configuration.SOURCE_NAME, text):
        raise ValueError(configuration.SOURCE_NAME_RULE)
    if text in taken:
        raise ValueError(f"{text} is taken")
    return text


# --- Writing ----------------------------------------------------------------------------------------------------------


def _before(path: Path, drafts: Sequence[Draft]) -> str:
    """Return the text of a file that gets more sources; raise UsageError if it has one of that name."""
    there = read_toml(path).get("sources", {})
    for draft in drafts:
        if isinstance(there, dict) and draft.name in there:
            raise UsageError(f"{path} has a source {draft.name} already", hint="Give it another name: --name.")
    return path.read_text()


def _check(path: Path, text: str) -> None:
    """Load the text as the configuration it is to be; raise UsageError with what is wrong with it."""
    with _written_beside(path, text) as draft:
        try:
            configuration.load(draft, specs(), resolve_secrets=False)
        except ConfigError as error:
            raise UsageError(f"nothing was written: {str(error).replace(str(draft), str(path))}") from None


@contextmanager
def _written_beside(path: Path, text: str) -> Iterator[Path]:
    """Write a text to a file of ours in the same folder, mode 600; it is removed if it is still there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="Name another file: --config.") from None
    try:
        with os.fdopen(number, "w") as file:
            file.write(text)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _write(path: Path, text: str, typed: _Typed, *, replace: bool) -> None:
    """Write the secrets, then the configuration in one step; nothing that is there is overwritten, but by `replace`."""
    for place, secret in typed.files.items():
        file = path.parent / place
        file.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise UsageError(f"{file} cannot be written: {error.strerror}", hint="Move it away, or name it.") from None
        with os.fdopen(number, "w") as opened:
            opened.write(f"{secret}\n")
    with _written_beside(path, text) as draft:
        if replace:
            draft.chmod(path.stat().st_mode & 0o7777)
            draft.replace(path.resolve())
            return
        try:
            os.link(draft, path)
        except FileExistsError:
            raise UsageError(f"{path} is there already", hint="Name another file with --config.") from None


def _say_next(path: Path) -> None:
    """Say what was written, which secrets are still to be put in their place, and what comes next."""
    console.say(f"wrote {path}; only you can read it" if path.stat().st_mode & 0o077 == 0 else f"wrote {path}")
    settings = _loaded(path)
    for text in configuration.missing_secrets(settings, os.environ) if settings else []:
        console.say(f"still missing: {text}")
    off = [
        f"{one.name}.{stream.name}"
        for one in (settings.sources.values() if settings else ())
        for stream in one.streams.values()
        if configuration.is_off(stream)
    ]
    if off:
        console.say(f"off until you give it keys: {', '.join(off)}")
    console.say(f"next: {console.pasteable('migrate', path)}")
    console.say(f"then: {console.pasteable('check', path)}")


def _loaded(path: Path) -> configuration.Config | None:
    """Load what was written; None where the place of the database's address cannot be read yet."""
    try:
        return configuration.load(path, specs(), resolve_secrets=False, refused=refused())
    except ConfigError as error:
        console.say(f"still missing: {str(error).partition(chr(10))[2].strip()}")
        return None
