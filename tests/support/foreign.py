"""What somebody else does in our database."""

import asyncpg


async def execute(url: str, statement: str, *, role: str = "syncd") -> None:
    """Execute statements as another client, by default as the owner of the database."""
    conn = await asyncpg.connect(url.replace("//syncd@", f"//{role}@"))
    try:
        await conn.execute(statement)
    finally:
        await conn.close()
