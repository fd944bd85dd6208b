"""More columns of ghs.account, and mended types of ghs.products: what lay in _extra is read anew, and what is stored stays."""

from alembic import op

revision = "0020"
down_revision = "0019"
oldest_program = "0020"

# column, type, path in the record, comment
ACCOUNT = (
    (
        "linked_warehouse_warehouse_email",
        "TEXT",
        "{linkedWarehouse,warehouseEmail}",
        "E-mail address of the warehouse that delivers",
    ),
    (
        "linked_warehouse_should_email_external_orders",
        "BOOLEAN",
        "{linkedWarehouse,shouldEmailExternalOrders}",
        "Whether external orders are mailed to the warehouse that delivers",
    ),
    (
        "linked_warehouse_address",
        "JSONB",
        "{linkedWarehouse,address}",
        "Address of the warehouse that delivers, as sent",
    ),
    (
        "pickup_warehouse_warehouse_email",
        "TEXT",
        "{pickupWarehouse,warehouseEmail}",
        "E-mail address of the warehouse to collect at",
    ),
    (
        "pickup_warehouse_should_email_external_orders",
        "BOOLEAN",
        "{pickupWarehouse,shouldEmailExternalOrders}",
        "Whether external orders are mailed to the warehouse to collect at",
    ),
    (
        "pickup_warehouse_address",
        "JSONB",
        "{pickupWarehouse,address}",
        "Address of the warehouse to collect at, as sent",
    ),
    ("preferred_style", "TEXT", "{preferredStyle}", "Style of the web shop that the user prefers"),
    ("logo", "TEXT", "{logo}", "Logo of the account"),
    ("technical_data_provider", "TEXT", "{technicalDataProvider}", "Provider of technical data"),
    (
        "has_mijn_grossier_accounts",
        "BOOLEAN",
        "{hasMijnGrossierAccounts}",
        "Whether there are accounts of Mijn Grossier",
    ),
    (
        "has_relevent_pickup_warehouse",
        "BOOLEAN",
        "{hasReleventPickupWarehouse}",
        "Whether there is a warehouse to collect at; the vendor's spelling",
    ),
    ("district", "TEXT", "{district}", "District"),
    ("linked_company_id", "TEXT", "{linkedCompany,linkedCompanyId}", "Id of the company that delivers"),
    ("linked_company_name", "TEXT", "{linkedCompany,linkedCompanyName}", "Name of the company that delivers"),
    (
        "linked_company_company_preferred_style",
        "TEXT",
        "{linkedCompany,companyPreferredStyle}",
        "Style of the company that delivers",
    ),
    (
        "linked_company_contact_email",
        "TEXT",
        "{linkedCompany,contactEmail}",
        "E-mail address for questions of the company that delivers",
    ),
    (
        "linked_company_support_email",
        "TEXT",
        "{linkedCompany,supportEmail}",
        "E-mail address for support of the company that delivers",
    ),
    (
        "linked_company_support_team_page",
        "TEXT",
        "{linkedCompany,supportTeamPage}",
        "Page of the support team of the company that delivers",
    ),
    ("linked_company_map_url", "TEXT", "{linkedCompany,mapUrl}", "Address of a map of the company that delivers"),
    (
        "linked_company_b2_b_url",
        "TEXT",
        "{linkedCompany,b2BUrl}",
        "Address of the web shop of the company that delivers",
    ),
    (
        "linked_company_bmf_email",
        "TEXT",
        "{linkedCompany,bmfEmail}",
        "E-mail address of BMF of the company that delivers",
    ),
    (
        "linked_company_server_email",
        "TEXT",
        "{linkedCompany,serverEmail}",
        "E-mail address of the server of the company that delivers",
    ),
    (
        "linked_company_diesel_injector_email",
        "TEXT",
        "{linkedCompany,dieselInjectorEmail}",
        "E-mail address for diesel injectors of the company that delivers",
    ),
    (
        "linked_company_external_order_email",
        "TEXT",
        "{linkedCompany,externalOrderEmail}",
        "E-mail address for external orders of the company that delivers",
    ),
    ("certificate_id", "TEXT", "{certificate,id}", "Id of the account's certificate"),
    ("certificate_name", "TEXT", "{certificate,name}", "Name of the certificate"),
    ("certificate_end_date", "TEXT", "{certificate,endDate}", "Last day of the certificate, as sent"),
    ("certificate_is_valid", "BOOLEAN", "{certificate,isValid}", "Whether the certificate is valid"),
    ("tire_counts", "JSONB", "{tireCounts}", "Tyres purchased and returned this year and last, as sent"),
    ("promotions", "JSONB", "{promotions}", "Promotions, as sent"),
    ("delivery_addresses", "JSONB", "{deliveryAddresses}", "Delivery addresses, as sent"),
    ("delivery_time_preferences", "JSONB", "{deliveryTimePreferences}", "Preferred times of delivery, as sent"),
    ("enrollments", "JSONB", "{enrollments}", "Enrolments, as sent"),
    ("external_users", "JSONB", "{externalUsers}", "Users of other systems, as sent"),
    (
        "user_settings",
        "JSONB",
        "{userSettings}",
        "Settings as sent, but without lastId, lastIdType and lastAdditionalId: an identity document",
    ),
)

PRODUCTS = (
    (
        "available_linked_warehouse_at",
        "TIMESTAMP WITH TIME ZONE",
        "{availableLinkedWarehouse}",
        "From when the account's own warehouse can deliver it; null if unset (kept in _extra as sent)",
    ),
    (
        "available_next_route_at",
        "TIMESTAMP WITH TIME ZONE",
        "{availableNextRoute}",
        "From when the next delivery route can bring it; null if unset (kept in _extra as sent)",
    ),
    ("aldoc", "JSONB", "{aldoc}", "Data of the Aldoc catalogue, as sent: brandId, brandName, productId"),
    ("auto_electra", "JSONB", "{autoElectra}", "Data of the Auto Electra catalogue, as sent: brandIds, productId"),
)

COMMENTS = {
    "article_data_id": "Id of the article in the data pool; leading zeros count",
    "available_linked_warehouse": "Whether the account's own warehouse can deliver it, where that is sent instead of a time; see available_linked_warehouse_at",
    "available_next_route": "Whether the next delivery route can bring it, where that is sent instead of a time; see available_next_route_at",
}
RELATIONS = {"account": ("ghs.account", "history.ghs_account"), "products": ("ghs.products", "history.ghs_products")}
IS_DATE = r"^/Date\(-?[0-9]{1,14}([+-][0-9]{4})?\)/$"
# The first and the last instant, in milliseconds, that a column holds; -62135596800000, which means unset, is none.
FIRST_MS, LAST_MS = -62135510400000, 253402214399999

# A column changes its type only if nothing depends on it. Views are therefore made anew as they were, the outer ones last.
# Whatever else depends on it still stops the migration, which then names it.
RETYPE = """
DO $$
DECLARE
  place regclass := '{relation}'::regclass;
  place_column smallint := (SELECT attnum FROM pg_attribute WHERE attrelid = place AND attname = 'article_data_id');
  found record;
  part record;
  made text[] := '{{}}';
  statement text;
BEGIN
  FOR found IN
    WITH RECURSIVE readers AS (
      SELECT r.ev_class AS oid, 1 AS depth
      FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
      WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = place
        AND d.refobjsubid = place_column AND r.ev_class <> place
      UNION
      SELECT r.ev_class, readers.depth + 1
      FROM readers
      JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = readers.oid AND d.classid = 'pg_rewrite'::regclass
      JOIN pg_rewrite r ON r.oid = d.objid
      WHERE r.ev_class <> readers.oid
    )
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relowner, c.relacl, c.reloptions, c.relispopulated,
           CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind,
           rtrim(pg_get_viewdef(c.oid), '; ') AS body
    FROM (SELECT oid, max(depth) AS depth FROM readers GROUP BY oid) AS known
    JOIN pg_class c ON c.oid = known.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid)
      AND NOT EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')
    ORDER BY known.depth DESC, c.oid
  LOOP
    statement := format('CREATE %s %s%s AS %s%s', found.kind, found.name,
      CASE WHEN found.reloptions IS NULL THEN '' ELSE format(' WITH (%s)', array_to_string(found.reloptions, ', ')) END,
      found.body, CASE WHEN found.kind = 'VIEW' THEN '' WHEN found.relispopulated THEN ' WITH DATA' ELSE ' WITH NO DATA' END);
    FOR part IN SELECT pg_get_indexdef(indexrelid) AS told FROM pg_index WHERE indrelid = found.oid LOOP
      statement := statement || '; ' || part.told;
    END LOOP;
    FOR part IN
      SELECT objsubid, description, attname FROM pg_description
      LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid AND objsubid > 0
      WHERE objoid = found.oid AND classoid = 'pg_class'::regclass
    LOOP
      statement := statement || CASE part.objsubid
        WHEN 0 THEN format('; COMMENT ON %s %s IS %L', found.kind, found.name, part.description)
        ELSE format('; COMMENT ON COLUMN %s.%I IS %L', found.name, part.attname, part.description) END;
    END LOOP;
    statement := statement || format('; ALTER %s %s OWNER TO %I', found.kind, found.name, pg_get_userbyid(found.relowner));
    FOR part IN
      SELECT privilege_type, is_grantable, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
      FROM aclexplode(found.relacl) WHERE grantee <> found.relowner
    LOOP
      statement := statement || format('; GRANT %s ON %s TO %s%s', part.privilege_type, found.name, part.grantee,
        CASE WHEN part.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
    made := statement || made;
    EXECUTE format('DROP %s %s', found.kind, found.name);
  END LOOP;
  EXECUTE format('ALTER TABLE %s ALTER COLUMN %I TYPE text USING %I::text', place, 'article_data_id', 'article_data_id');
  FOREACH statement IN ARRAY made LOOP
    EXECUTE statement;
  END LOOP;
END
$$
"""


def _read_anew(relation: str, column: str, kind: str, path: str) -> str:
    """Return the statement that moves what lies in _extra under a path to its column, if it fits."""
    sent = f"_extra #> '{path}'"
    fits, value = {
        "TEXT": (f"jsonb_typeof({sent}) = 'string'", f"_extra #>> '{path}'"),
        "BOOLEAN": (f"jsonb_typeof({sent}) = 'boolean'", f"(_extra #>> '{path}')::boolean"),
        "JSONB": (f"jsonb_typeof({sent}) IS NOT NULL AND NOT {sent} ? '$json' AND NOT {sent} ? '$base64'", sent),
        "TIMESTAMP WITH TIME ZONE": (
            (
                f"jsonb_typeof({sent}) = 'string' AND _extra #>> '{path}' ~ '{IS_DATE}'"
                f" AND substring(_extra #>> '{path}' FROM '-?[0-9]+')::bigint BETWEEN {FIRST_MS} AND {LAST_MS}"
            ),
            f"timestamptz 'epoch' + substring(_extra #>> '{path}' FROM '-?[0-9]+')::bigint * interval '1 millisecond'",
        ),
    }[kind]
    return (
        f"UPDATE {relation} SET {column} = CASE WHEN jsonb_typeof({sent}) = 'null' THEN NULL ELSE {value} END,"
        f" _extra = _extra #- '{path}' WHERE {sent} IS NOT NULL AND CASE jsonb_typeof({sent}) WHEN 'null' THEN true"
        f" ELSE {fits} END"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _without_hollow(relation: str, *objects: str) -> list[str]:
    """Return the statements that take out of _extra the objects of which nothing is left, and _extra where it is empty."""
    emptied = [
        f"UPDATE {relation} SET _extra = _extra - '{name}' WHERE _extra -> '{name}' = '{{}}'" for name in objects
    ]
    return [*emptied, f"UPDATE {relation} SET _extra = NULL WHERE _extra = '{{}}'"]


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for table, columns in (("account", ACCOUNT), ("products", PRODUCTS)):
        for relation in RELATIONS[table]:
            for column, kind, _, comment in columns:
                execute(f"ALTER TABLE {relation} ADD COLUMN {column} {kind}")
                execute(f"COMMENT ON COLUMN {relation}.{column} IS {_quoted(comment)}")
    for relation in RELATIONS["products"]:
        execute(RETYPE.format(relation=relation))
        for column, comment in COMMENTS.items():
            execute(f"COMMENT ON COLUMN {relation}.{column} IS {_quoted(comment)}")
        execute(_read_anew(relation, "article_data_id", "TEXT", "{articleDataId}"))
        for column, kind, path, _ in PRODUCTS:
            execute(_read_anew(relation, column, kind, path))
        for statement in _without_hollow(relation):
            execute(statement)
    for relation in RELATIONS["account"]:
        # what tells of a person's identity document was kept among the fields without a column
        execute(
            f"UPDATE {relation} SET _extra = jsonb_set(_extra, '{{userSettings}}',"
            " (_extra -> 'userSettings') - '{lastId,lastIdType,lastAdditionalId}'::text[])"
            " WHERE jsonb_typeof(_extra -> 'userSettings') = 'object'"
        )
        for column, kind, path, _ in ACCOUNT:
            execute(_read_anew(relation, column, kind, path))
        for statement in _without_hollow(
            relation, "linkedWarehouse", "pickupWarehouse", "linkedCompany", "certificate"
        ):
            execute(statement)
    # the next run compares what it reads with what is stored now
    execute("UPDATE ghs.account SET _hash = NULL")
    execute("UPDATE ghs.products SET _hash = NULL")
