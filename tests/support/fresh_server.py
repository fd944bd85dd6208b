"""Embedded servers that start quickly, and what a client asks of them."""

from pathlib import Path

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from syncd.storage.postgres import embedded

FAST = {"fsync": "off", "shared_buffers": "16MB"}


async def ensure(data_dir: Path, grace_s: float = 5.0) -> embedded.Server:
    return await embedded.ensure(data_dir, settings=FAST, grace_s=grace_s)


async def fetchval(server: embedded.Server, query: str) -> object:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def sqlalchemy_fetchval(server: embedded.Server, query: str) -> object:
    engine = create_async_engine(server.sqlalchemy_url)
    try:
        async with engine.connect() as connection:
            return (await connection.execute(text(query))).scalar()
    finally:
        await engine.dispose()
