"""What must not appear in what syncd tells: the texts that were protected, and what looks like a credential.

Finds them however they are spelt (`spellings`), and puts MASK in their place.
"""

import re
from collections import deque
from typing import Final

from syncd.log.spellings import HEAD_CHARS, Spelt, spellings

MASK: Final = "***"
SHORT_CHARS: Final = (
    HEAD_CHARS  # a protected text below this is masked as a whole word only, or it would garble every line
)
SHORT_LIVED_KEPT: Final = 64  # a session's token is long dead when this many newer ones were seen

_IN_TEXT: Final = re.compile(
    r"(?P<user>://[^\s/@:]*):[^\s/@]+(?=@)"  # the password in an address
    r"|(?P<scheme>\b(?:Bearer|Basic|JWT)\s+)(?!authentication\b)[\w+/.=~-]{6,}"  # an Authorization header
    r"|(?P<key>\b(?:password|passwd|pwd|secret|[a-z_]*token|api[-_]?key)=)[^\s&'\"]+",  # a parameter or a DSN's part
    re.IGNORECASE,
)


class _Protected:
    """The texts that must not appear; those shorter than SHORT_CHARS have one pattern."""

    def __init__(self) -> None:
        self.lasting: set[str] = set()
        self.short_lived: deque[str] = deque(maxlen=SHORT_LIVED_KEPT)
        self._new: list[str] = []
        self._is_current = True
        self._spelt = Spelt(())
        self._short: re.Pattern[str] | None = None

    def add(self, text: str, *, short_lived: bool) -> None:
        """Protect one more text, from the next line on."""
        if short_lived:
            self.short_lived.append(text)
        else:
            self.lasting.add(text)
            self._new.append(text)
        self._is_current = False

    def compile(self) -> None:
        """Prepare for finding, from the beginning."""
        self._spelt = Spelt(self.lasting)
        self._new.clear()
        self._update()

    def _update(self) -> None:
        """Prepare for finding what is new: there may be a hundred thousand texts, and a new one with each login."""
        for text in self._new:
            self._spelt.add(text)
        self._new.clear()
        self._spelt.stand_by(self.short_lived)
        texts = {*self.lasting, *self.short_lived}
        forms = {form for text in texts if len(text) < SHORT_CHARS for form in spellings(text)}
        short = [rf"(?<!\w){re.escape(form)}(?!\w)" for form in sorted(forms, key=len, reverse=True)]
        self._short = re.compile("|".join(short)) if short else None
        self._is_current = True

    def mask(self, text: str) -> str:
        """Return the text with each of its protected parts replaced by ***."""
        if not self._is_current:
            self._update()
        text = self._spelt.mask(text, MASK)
        return self._short.sub(MASK, text) if self._short else text


protected: Final = _Protected()


def protect(secret_text: str, *, short_lived: bool = False) -> None:
    """Mask this text from now on, however it is spelt: see `spellings`.

    `short_lived` is for what an upstream hands out (sessions, tokens): only the newest of them are remembered. The
    base64 of a Basic header joins two texts and is a third: protect it too. An empty text is ignored; idempotent.
    """
    if not secret_text or secret_text in protected.lasting or secret_text in protected.short_lived:
        return
    protected.add(secret_text, short_lived=short_lived)


def mask(text: str) -> str:
    """Return the text with every protected text, and whatever looks like a credential, replaced by ***."""
    return _IN_TEXT.sub(lambda match: next(filter(None, match.groups())) + _mask_after(match), protected.mask(text))


def _mask_after(match: re.Match[str]) -> str:
    return f":{MASK}" if match["user"] is not None else MASK
