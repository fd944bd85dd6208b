"""syncd keeps a PostgreSQL mirror of four trade APIs fresh, complete and honest."""

__version__ = "0.1.0"
