"""`syncd doctor`: gathers what support needs in one file."""

import io
import zipfile
from pathlib import Path

import click

from syncd.cli import bundle, console, files
from syncd.cli.options import command, config_option, json_option
from syncd.cli.session import execute
from syncd.clock import utc_now


@command(
    examples=[
        ("syncd doctor", "a zip file in this folder; look into it before you send it"),
        ("syncd doctor --log /var/log/syncd.log --output /tmp/for-support.zip", "where systemd keeps no journal"),
        ("syncd doctor --json | jq -r '.\"status.json\"'", "the same as JSON, without a file"),
    ]
)
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Name of the zip file.")
@click.option(
    "--log", "log_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Log of the service.  [default: systemd's journal]",
)  # fmt: skip
@config_option
@json_option
def doctor(output: Path | None, log_file: Path | None, config_path: Path | None, as_json: bool) -> int:
    """Gather what support needs in one file, without secrets and without data.

    Versions, the configuration without its secrets and without keys of records, how every stream stands, its last runs,
    locks, sizes of tables, and the tail of the log. It holds no row, no record and no cursor. It works also while the
    database is away, or the configuration is wrong. Look into it before you send it.
    """
    return execute(write_bundle(config_path, output, log_file, as_json=as_json))


async def write_bundle(path: Path | None, output: Path | None, log_file: Path | None, *, as_json: bool) -> int:
    """Gather the parts and write them."""
    parts = await bundle.gather(path, log_file)
    if as_json:
        console.print_json(parts)
        return 0
    now = utc_now()
    target = output or Path(f"syncd-doctor-{now:%Y%m%d-%H%M%S}.zip")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(f"{target.stem}/{name}", text)
    with files.written(target) as file:
        file.write(packed.getvalue())
    console.say(f"wrote {target.absolute()}: {', '.join(parts)}")
    console.say("Look into it before you send it: names of sources, tables and machines are in it.")
    return 0
