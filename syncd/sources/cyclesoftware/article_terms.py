"""The terms in which articles are described: lists of codes, and properties."""

from collections.abc import AsyncIterator

from syncd.contract import BIGINT, JSON, TEXT, Answer, Cost, Page, Scope, Stream, Table, Walk, column
from syncd.contract.errors import NotFound
from syncd.contract.options import DAY_S
from syncd.records.readers import envelope
from syncd.sources.cyclesoftware.api import SCHEMA, listing
from syncd.sources.cyclesoftware.forms import DATA, data_of, map_of, with_member

CODE_LISTS = (
    "article_group", "article_main_group", "article_sub_group", "base_color", "battery_position", "battery_type",
    "brake_system", "brand", "customer_group", "display_handling", "display_type", "ebike_system",
    "electric_bicycle_type", "etrto_wheelsize", "frame", "frame_material", "function", "gear_system", "keyword",
    "moped_category", "moped_engine", "moped_transmission", "motor_position", "position", "qualitymark", "sensor_type",
    "status", "supplier", "surcharge", "vat",
)  # fmt: skip
"""All that the vendor documents; each is a request of its own."""

CODE_LIST_ENTRIES = Table(
    schema=SCHEMA,
    name="code_list_entries",
    key=("codelist", "code"),
    comment="What the codes in properties of articles stand for, by list; needs the scope e-commerce",
    needed=("codelist",),
    columns=(
        column("codelist", TEXT, "The list, as sent, e.g. codelist:base_color"),
        column("code", TEXT, "The code within the list; those of article groups are composite: 2N01 under 2N under 2"),
        column("code_international", TEXT, "The code in international use"),
        column("description_nl", TEXT, "What it stands for, in Dutch"),
        column("description_en", TEXT, "The same in English"),
        column("description_fr", TEXT, "The same in French"),
        column("description_de", TEXT, "The same in German"),
    ),
)

ARTICLE_PROPERTIES = Table(
    schema=SCHEMA,
    name="article_properties",
    key=("property_name",),
    comment="The properties that an article may have; needs the scope e-commerce",
    columns=(
        column("property_name", TEXT, "Name of the property, e.g. base_color"),
        column("property_id", BIGINT, "Number of the property"),
        column("data_type", TEXT, "Type of its values"),
        column("unit", TEXT, "Unit of its values", optional=True),
        column("description_nl", TEXT, "What it says, in Dutch"),
        column("description_en", TEXT, "The same in English"),
        column("description_fr", TEXT, "The same in French"),
        column("example_value", JSON, "A value as an example, of any type"),
        column("code_list", TEXT, "The list of codes from which its values come", optional=True),
    ),
)


async def _walk_code_lists(walk: Walk) -> AsyncIterator[Page]:
    """Ask for each list; what it lacks is gone from that list only. A list that answers 404 is left alone.

    Lists that come empty are given last: should the breaker refuse one, the others are written already.
    """
    empty: list[Page] = []
    unknown: NotFound | None = None
    answered = 0
    for name in CODE_LISTS:
        try:
            answer = await walk.upstream.request("GET", f"/api/v4/articledata/codelist/{name}.json")
        except NotFound as error:
            unknown = error
            continue
        answered += 1
        page = Page(
            records=data_of(answer),
            cursor=None,
            requested_at=answer.sent_at,
            scope=Scope(column="codelist", values=(f"codelist:{name}", name)),
        )
        if page.records:
            yield page
        else:
            empty.append(page)
    for page in empty:
        yield page
    if unknown and not answered:
        raise unknown
    yield Page(records=[], cursor={"as_of": walk.now().isoformat()}, requested_at=walk.now())


def _properties_of(answer: Answer) -> list[bytes]:
    """Return one record for each property: its own fields, and its name."""
    found = map_of(envelope(answer).get(DATA), DATA)
    return [with_member(record, "property_name", name) for name, record in found.items()]


CODE_LIST_ENTRIES_STREAM = Stream(
    name="code_list_entries",
    table=CODE_LIST_ENTRIES,
    walk=_walk_code_lists,
    every_s=7 * DAY_S,
    cost=Cost(live=30.0),
)

ARTICLE_PROPERTIES_STREAM = Stream(
    name="article_properties",
    table=ARTICLE_PROPERTIES,
    walk=listing(ARTICLE_PROPERTIES, "/api/v4/articledata/properties.json", DATA, records_of=_properties_of),
    every_s=7 * DAY_S,
)
