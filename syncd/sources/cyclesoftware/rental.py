"""Objects for rent. The API shows no rental contract."""

from syncd.contract import BIGINT, BOOLEAN, JSON, TEXT, Stream, Table, column
from syncd.contract.options import HOUR_S
from syncd.sources.cyclesoftware.api import SCHEMA, listing
from syncd.sources.cyclesoftware.forms import DATA, bare_list

RENTAL_OBJECTS = Table(
    schema=SCHEMA,
    name="rental_objects",
    key=("code",),
    comment="Objects for rent; needs the scope rental, off by default",
    columns=(
        column("code", TEXT, "Code of the object, e.g. F1-20297"),
        column("account_id", BIGINT, "Account of the store"),
        column("article_id", TEXT, "Article number; text, so that a leading zero stays"),
        column("barcode", TEXT, "EAN of the article; text, so that a leading zero stays"),
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("stock_object_id", BIGINT, "The object in stock_items.object_id"),
        column("is_elo", BOOLEAN, "True for an electric bike"),
        column("is_moped", BOOLEAN, "True for a moped"),
        column("category_name", TEXT, "Category in words"),
        column("dst_main_id", BIGINT, "Main article group; one part of the composite code of code_list_entries"),
        column("dst_sub_id", TEXT, "Article group; one part of the composite code"),
        column("dst_sub_sub_id", BIGINT, "Article sub group; one part of the composite code"),
        column("is_reserved", BOOLEAN, "True if it is reserved"),
        column("is_demo", BOOLEAN, "True for a demonstration bike"),
        column("is_rental", BOOLEAN, "True for a rental object"),
        column("brand_name", TEXT, "Brand, e.g. Gazelle"),
        column("frame_type", TEXT, "Type of frame in words"),
        column("brakes_or_transmission", TEXT, "Brakes or transmission in words"),
        column("name_brakes", TEXT, "Brakes in words"),
        column("object_barcode", TEXT, "Barcode of the object itself"),
        column("model_name", TEXT, "Model"),
        column("color", TEXT, "Colour in words"),
        column("gears", TEXT, "Gears in words"),
        column("year_description", TEXT, "Model year in words"),
        column("size", TEXT, "Size in words"),
        column("frame_height", TEXT, "Height of the frame as sent"),
        column("wheel_size", TEXT, "Size of the wheels as sent"),
        column("frame_size_supplier", TEXT, "Size as the supplier names it"),
        column("tyre_size", TEXT, "Size of the tyres"),
        column("customer_group", TEXT, "For whom it is meant, e.g. Dames"),
        column("material_description", TEXT, "Material in words"),
        column("basic_color", TEXT, "Basic colour"),
        column("basic_color_secondary", TEXT, "Second basic colour"),
        column("frame_number", TEXT, "Frame number"),
        column("chip_number", TEXT, "Number of the chip"),
        column("lock_number", TEXT, "Number of the lock"),
        column("key_number", TEXT, "Number of the key"),
        column("license_plate_number", TEXT, "Licence plate"),
        column("engine_number", TEXT, "Number of the engine"),
        column("battery_number", TEXT, "Number of the battery"),
        column("images", JSON, "Pictures as sent; a time in them may be none, such as 12:00:99"),
    ),
)

RENTAL_OBJECTS_STREAM = Stream(
    name="rental_objects",
    table=RENTAL_OBJECTS,
    walk=listing(RENTAL_OBJECTS, "/api/v1/rental/objects.json", DATA, records_of=bare_list),
    every_s=HOUR_S,
    is_on=False,
)
