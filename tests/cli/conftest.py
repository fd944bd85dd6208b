"""What the tests of several commands stand on: a mirror, and a way to run a command in this process."""

import sys
from pathlib import Path

import pytest

from syncd import cli, log
from syncd.sandbox import Address, Limits, Sandbox, config_text
from tests.support.bench import Bench, MakeBench
from tests.support.command import Ended, Say, WallClock


@pytest.fixture
async def shop(make_bench: MakeBench) -> Bench:
    """A bench on the real clock, with customers on several pages, and limits that no command has to wait for."""
    limits = Limits(per_minute=10_000, per_day=100_000)
    return await make_bench(time=WallClock(), customers=250, page_size=50, limits=limits)


@pytest.fixture
def sandbox_config(db_url: str, tmp_path: Path) -> Path:
    """A configuration of a sandbox that nobody serves: for what fails before anything is asked."""
    path = tmp_path / "config.toml"
    path.write_text(f'[database]\nurl = "{db_url}"\n' + config_text(Sandbox(), Address(url="http://127.0.0.1:9")))
    path.chmod(0o600)
    return path


@pytest.fixture
def say(sandbox_config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command in this process, which is quicker; it finds `sandbox_config`."""
    monkeypatch.setenv("SYNCD_CONFIG", str(sandbox_config))

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["syncd", *words])
        try:
            with pytest.raises(SystemExit) as ending:
                cli.main()
        finally:
            log.configure("json", "error")
        return Ended(int(str(ending.value)), *capsys.readouterr())

    return run


@pytest.fixture
async def synced(shop: Bench) -> Bench:
    """A bench with mirrored customers, dealers and rejects, for commands that ask no upstream."""
    shop.sandbox.faults.add("missing-key", api="cyclis", stream="dealers")
    assert (await shop.sync("shop.customers")).outcome == "ok"
    assert (await shop.sync("lease.dealers")).counts.rejected > 0
    await shop.fetch(
        "INSERT INTO syncd.rejects (source, stream, reason, record, fingerprint, run_id, first_seen_at, last_seen_at,"
        " occurrences) SELECT source, stream, 'an older syncd could not read it', $1, $2, run_id, first_seen_at,"
        " now() + interval '1 hour', 1 FROM syncd.rejects LIMIT 1",
        '{"id": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "type": "dealers", "attributes": {"name": "Nieuw"}}',
        b"x",
    )
    return shop


@pytest.fixture
def tell(synced: Bench, say: Say, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run a command in this process on the mirror of `synced`, whose sandbox does not answer meanwhile."""
    monkeypatch.setenv("SYNCD_CONFIG", str(synced.config_file()))
    return say
