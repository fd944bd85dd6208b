"""The rows of the mirror: how they are read, compared, written, buried, kept as history and erased."""
