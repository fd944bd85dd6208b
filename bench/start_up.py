"""Item 8: what it costs to start a command, the median of several; wall time counts for people, CPU for scripts."""

from statistics import median

from bench.stage import Stage, Took, measured, python
from bench.table import Row

TIMES = 5


async def measure(stage: Stage) -> list[Row]:
    """Start `syncd --help` and `syncd status`."""
    stage.tell("start-up")
    url = await stage.database("bench_start")
    path = stage.folder / "start.toml"
    path.touch(mode=0o600)
    path.write_text(
        f'[database]\nurl = "{url}"\n[sources.shop]\ntype = "cyclesoftware"\nusername = "bench"\npassword = "bench"\n'
    )
    rows: list[Row] = []
    for name, words in (("--help", ["--help"]), ("status", ["status", "--config", str(path)])):
        await measured(*python("-m", "syncd", *words))  # compiles what is not compiled yet
        took = [await measured(*python("-m", "syncd", *words)) for _ in range(TIMES)]
        rows += _costs(f"syncd {name}", took)
    return [*rows, *_costs("python -c pass", [await measured(*python("-c", "pass")) for _ in range(TIMES)])]


def _costs(subject: str, took: list[Took]) -> list[Row]:
    return [
        Row("start-up", subject, "time", median(one.wall_s for one in took) * 1e3, "ms"),
        Row("start-up", subject, "CPU", median(one.cpu_s for one in took) * 1e3, "ms"),
    ]
