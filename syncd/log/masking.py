"""What must not appear in what syncd tells: the texts that were protected, and what looks like a credential.

Finds them however they are spelt (`spellings`), and puts MASK in their place.
"""

import re
import weakref
from collections import Counter, deque
from typing import Final

from syncd.log.finder import HEAD_CHARS, Hashes
from syncd.log.spellings import Spelt, spellings

MASK: Final = "***"
SHORT_CHARS: Final = (
    HEAD_CHARS  # a protected text below this is masked as a whole word only, or it would garble every line
)
KNOWN_CHARS: Final = 64
"""Of a text up to this length is remembered what was left of it: names of fields, sources and streams come with each
line."""
KNOWN_MOST: Final = 4_096
"""Texts that are remembered so."""
REPLACED_KEPT: Final = 64  # what a newer session has replaced is masked still, until so many others were replaced

_IN_TEXT: Final = re.compile(
    r"(?P<user>://[^\s/@:]*):[^\s/@]+(?=@)"  # the password in an address
    r"|(?P<scheme>\b(?:Bearer|Basic|JWT)\s+)(?!authentication\b)[\w+/.=~-]{6,}"  # an Authorization header
    r"|(?P<key>\b(?:password|passwd|pwd|secret|[a-z_]*token|api[-_]?key)=)[^\s&'\"]+",  # a parameter or a DSN's part
    re.IGNORECASE,
)


class _Protected:
    """The texts that must not appear; those shorter than SHORT_CHARS have one pattern.

    What an upstream hands out is kept as long as it lives: the newest text of each holder and kind, and the last few
    that were replaced, which may still stand in an error on its way to the log.
    """

    def __init__(self) -> None:
        self.forget_all()

    def forget_all(self) -> None:
        """Protect nothing any more."""
        self._known: dict[str, str] = {}
        self._lasting = Hashes()
        self._held: dict[int, dict[str, str]] = {}
        self._replaced: deque[str] = deque()
        self._gone: list[int] = []
        self._added: list[tuple[Spelt, str]] = []
        self._dropped: list[str] = []
        self._live = Spelt()
        self._spelt = Spelt(beside=self._live)
        self._short_texts: Counter[str] = Counter()
        self._short: re.Pattern[str] | None = None

    def add(self, text: str) -> None:
        """Protect one more text for good, from the next line on."""
        if (of := hash(text)) not in self._lasting:
            self._lasting.add(of)
            self._added.append((self._spelt, text))

    def hold(self, text: str, holder: object, kind: str) -> None:
        """Protect what a holder has of a kind now, as long as it has it."""
        if hash(text) in self._lasting:
            return
        self._let_go()
        held = self._held.get(id(holder))
        if held is None:
            held = self._held[id(holder)] = {}
            # called whenever Python collects the holder, perhaps within a change of these lists: it only takes a note
            weakref.finalize(holder, self._gone.append, id(holder)).atexit = False
        before = held.get(kind)
        if before == text:
            return
        held[kind] = text
        self._added.append((self._live, text))
        if before is not None:
            self._retire(before)

    def _let_go(self) -> None:
        """Take what holders had that are gone as replaced."""
        while self._gone:
            for text in self._held.pop(self._gone.pop(), {}).values():
                self._retire(text)

    def _retire(self, text: str) -> None:
        self._replaced.append(text)
        if len(self._replaced) > REPLACED_KEPT:
            self._dropped.append(self._replaced.popleft())

    def known(self) -> dict[str, str]:
        """Return what short texts became by what is protected now; who masks another one adds it."""
        if self._gone:
            self._let_go()
        if self._added or self._dropped:
            self._update()
        if len(self._known) >= KNOWN_MOST:
            self._known.clear()
        return self._known

    def _update(self) -> None:
        """Prepare for finding what is new: there may be a hundred thousand texts, and a new one with each login."""
        self._known.clear()
        short = self._short_texts.keys() | set()
        for spelt, text in self._added:
            spelt.add(text)
            if len(text) < SHORT_CHARS:
                self._short_texts[text] += 1
        for text in self._dropped:
            self._live.remove(text)
            if len(text) < SHORT_CHARS:
                self._short_texts[text] -= 1
        self._short_texts = +self._short_texts
        self._added.clear()
        self._dropped.clear()
        if self._short_texts.keys() != short:
            forms = {form for text in self._short_texts for form in spellings(text)}
            patterns = [rf"(?<!\w){re.escape(form)}(?!\w)" for form in sorted(forms, key=len, reverse=True)]
            self._short = re.compile("|".join(patterns)) if patterns else None

    def mask(self, text: str) -> str:
        """Return the text with each of its protected parts replaced by ***."""
        self.known()
        text = self._spelt.mask(text, MASK)
        return self._short.sub(MASK, text) if self._short else text


protected: Final = _Protected()


def protect(secret_text: str) -> None:
    """Mask this text from now on, however it is spelt: see `spellings`.

    The base64 of a Basic header joins two texts and is a third: protect it too. An empty text is ignored; idempotent.
    """
    if secret_text:
        protected.add(secret_text)


def prepare() -> None:
    """Learn to find what was protected lately; else the next line does, and 10,000 texts take it a second."""
    protected.known()


def protect_held(secret_text: str, holder: object, kind: str) -> None:
    """Mask what an upstream handed out (a session, a token) as long as it lives.

    It lives until the same holder protects another text of the same kind, or is gone; it is masked for a while longer.
    So any number of accounts may have a session each. Idempotent.
    """
    if secret_text:
        protected.hold(secret_text, holder, kind)


def mask(text: str) -> str:
    """Return the text with every protected text, and whatever looks like a credential, replaced by ***."""
    if len(text) > KNOWN_CHARS:
        return _masked(text)
    known = protected.known()
    if (masked := known.get(text)) is None:
        masked = known[text] = _masked(text)
    return masked


def _masked(text: str) -> str:
    return _IN_TEXT.sub(lambda match: next(filter(None, match.groups())) + _mask_after(match), protected.mask(text))


def _mask_after(match: re.Match[str]) -> str:
    return f":{MASK}" if match["user"] is not None else MASK
