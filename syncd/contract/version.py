"""The version of the contract, and which versions a program can serve.

Within one major number names are only added, and each has a default: what was built for 1.0 works with 1.3. What is
removed, or means something else, raises the major number. docs/contract.md lists what each version brought.
"""

import re
from typing import Final

VERSION: Final = "1.2"
"""The newest version of the contract that this program serves."""

_FORM: Final = re.compile(r"(\d{1,4})\.(\d{1,4})")


def misfit(wanted: object) -> str | None:
    """Tell why a source built for the version `wanted` cannot be used by this program; None if it can."""
    found = _FORM.fullmatch(wanted) if isinstance(wanted, str) else None
    if found is None:
        return f'its contract is {wanted!r:.40}, and the version that it was built for is expected, as in "{VERSION}"'
    major, minor = map(int, found.groups())
    our_major, our_minor = map(int, VERSION.split("."))
    if major == our_major and minor <= our_minor:
        return None
    return f"it wants version {wanted} of the contract, and this syncd serves {our_major}.0 to {VERSION}"
