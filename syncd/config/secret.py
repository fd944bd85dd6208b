"""Secrets: a text that shows itself only to `Secret.reveal`, and the places it is read from. No message repeats one."""

import codecs
import errno
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NoReturn, SupportsIndex, final

import msgspec

from syncd.errors import ConfigError

SECRET_SIZE_BYTES: Final = 65_536  # no token comes near; stops `file = "/dev/zero"`
MARK: Final = "\ufeff"
"""The byte order mark, which Windows' editors write at the beginning of UTF-8, too."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
UTF16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class SecretRef(msgspec.Struct, frozen=True):
    """Where a secret lies: in a variable, in a file (absolute path), or with systemd."""

    kind: Literal["env", "file", "credential"]
    name: str

    def read(self, environ: Mapping[str, str]) -> str:
        """Read the secret, without its trailing newline; raise ConfigError that tells where it was looked for."""
        if self.kind == "env":
            if self.name not in environ:
                raise ConfigError(f"the environment variable {self.name} is not set")
            return one_line(environ[self.name], f"the environment variable {self.name}")
        if self.kind == "file":
            return one_line(_read_file(self.name, private=True), self.name)
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ConfigError(
                f"the credential {self.name} was not looked for: $CREDENTIALS_DIRECTORY is not set; "
                f"add LoadCredential={self.name}:/path to the unit, or use env or file outside systemd"
            )
        path = Path(folder, self.name)
        return one_line(_read_file(str(path), private=False), f"{path} ($CREDENTIALS_DIRECTORY/{self.name})")


def one_line(text: str, place: str) -> str:
    """Strip what an editor adds and check what is left; `place` says where the secret was found.

    An editor adds a newline at the end and, at times, a byte order mark at the beginning.
    """
    text = text.removeprefix(MARK).rstrip("\r\n")
    if not text:
        raise ConfigError(f"{place} is empty")
    if _CONTROL.search(text):
        raise ConfigError(f"{place} holds a line break or another control character; a secret is one line")
    return text


def _read_file(path: str, *, private: bool) -> str:
    """Read a small text file; `private` refuses one that group or others may touch (checked on the open file)."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not hang the start
        try:
            mode = os.fstat(file).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            content = _content(file) if stat.S_ISREG(mode) else b""
        finally:
            os.close(file)
    except OSError as error:
        raise ConfigError(f"the file {path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{path} is not a file")
    if private and mode & 0o077:
        shown = f"{stat.S_IMODE(mode):04o}"
        raise ConfigError(f"the file {path} may be read by others (mode {shown}): chmod 600 {path}")
    if len(content) > SECRET_SIZE_BYTES:
        raise ConfigError(f"the file {path} is larger than {SECRET_SIZE_BYTES} bytes: not a secret")
    if content.startswith(UTF16_MARKS) or b"\0" in content[:2]:
        raise ConfigError(f"the file {path} is UTF-16 text: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)")
    text = content.decode("utf-8", "replace")  # an error of decode() would carry the secret along
    if "\ufffd" in text:
        raise ConfigError(f"the file {path} is not UTF-8 text")
    return text


def _content(file: int) -> bytes:
    """Read a file to its end, but no further than a secret may be long."""
    content = b""
    while len(content) <= SECRET_SIZE_BYTES and (more := os.read(file, SECRET_SIZE_BYTES + 1 - len(content))):
        content += more
    return content


@final
class Secret:
    """A text that shows itself only to `reveal`: it prints as ***, and can be neither pickled nor encoded as JSON."""

    __slots__ = ("_ref", "_text")

    def __init__(self, text: str | None = None, *, ref: SecretRef | None = None) -> None:
        self._text = text
        self._ref = ref

    @property
    def ref(self) -> SecretRef | None:
        """Where the secret lies; None when the configuration holds the text itself."""
        return self._ref

    @property
    def is_resolved(self) -> bool:
        """Whether `reveal` has something to give."""
        return self._text is not None

    def reveal(self) -> str:
        """Return the text; raise ConfigError if it was left unresolved."""
        if self._text is None:
            raise ConfigError("a secret was asked for that was not resolved", hint="load with resolve_secrets=True")
        return self._text

    def read(self, environ: Mapping[str, str] = os.environ) -> str:
        """Return the text, read now if it was left unresolved; raise ConfigError if it is not where it should be."""
        return self._ref.read(environ) if self._text is None and self._ref else self.reveal()

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        """Compare the texts, wherever they came from; unresolved ones by their place."""
        if not isinstance(other, Secret):
            return NotImplemented
        return self._text == other._text and (self._text is not None or self._ref == other._ref)

    def __hash__(self) -> int:
        return hash(self._text if self._text is not None else self._ref)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Secret cannot be serialized")
