"""The commands that read the mirror: report, export."""

from pathlib import Path
from typing import Any

import click

from syncd.cli import completion
from syncd.cli.options import command, config_option, execute


@command(
    examples=[
        ("syncd report", "list the reports"),
        ("syncd report stock_by_store", "one of them, as a table"),
        ("syncd report cars_by_make --format csv --output cars.csv", "as a file"),
    ]
)
@click.argument("name", required=False, shell_complete=completion.reports)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="Form of the answer.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it to a file.")
@config_option
def report(name: str | None, form: Any, output: Path | None, config_path: Path | None) -> int:
    """Answer one of the cookbook's questions.

    Each is one query on schema reporting (docs/cookbook.md shows them); without a name they are listed.
    """
    from syncd.cli.commands import reports

    return execute(reports.run(config_path, name, form=form, output=output))


@command(
    examples=[
        ("syncd export shop.customers --output customers.csv", "every row of one stream"),
        ("syncd export cars.vehicles --format parquet --output cars.parquet", "for a data warehouse"),
        ("syncd export lease.orders --format jsonl | gzip > orders.jsonl.gz", "to another program"),
    ]
)
@click.argument("selector", metavar="STREAM", shell_complete=completion.selectors)
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl", "parquet"]), default="csv", show_default=True,
    help="Form of the file.",
)  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="[default: stdout]")
@click.option("--with-deleted", is_flag=True, help="What is gone upstream too, with _deleted_at.")
@config_option
def export(selector: str, form: Any, output: Path | None, with_deleted: bool, config_path: Path | None) -> int:
    """Export the mirrored rows of one stream as a file.

    Streams from the database, however many rows there are; a file takes its name once it is whole.
    """
    from syncd.cli.commands import export as module

    return execute(module.run(config_path, selector, form=form, output=output, with_deleted=with_deleted))
