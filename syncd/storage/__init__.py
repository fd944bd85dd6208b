"""Everything that speaks SQL: the connections, the mirror's tables, the state in schema `syncd`."""
