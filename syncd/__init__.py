"""syncd keeps a PostgreSQL mirror of four trade APIs fresh, complete and honest."""
