"""syncd keeps a PostgreSQL mirror of four trade APIs fresh, complete and honest.

`open_mirror` is the way in for a program: see `syncd.api`, which is imported when it is first asked for, so that
`syncd --help` stays quick. `__init__.pyi` says the same to type checkers.
"""

from importlib import import_module

__version__ = "0.1.0"
_EMBEDDED = ("SyncdError", "open_mirror")


def __getattr__(name: str) -> object:
    """Import what programs embed when it is first asked for."""
    if name in _EMBEDDED:
        return getattr(import_module("syncd.api"), name)
    raise AttributeError(f"module 'syncd' has no attribute {name!r}")
