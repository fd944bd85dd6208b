-- about: Shops
-- question: Which articles have become dearer since they were last delivered?
SELECT barcode, supplier, (received_at AT TIME ZONE 'Europe/Amsterdam')::date AS received_on, unit_price, unit_price_now,
       unit_price_now - unit_price AS dearer
FROM (
  SELECT DISTINCT ON (source, supplier_id, barcode) *
  FROM reporting.goods_received
  WHERE barcode IS NOT NULL
  ORDER BY source, supplier_id, barcode, received_at DESC, packing_list_item_id DESC
) AS last_deliveries
WHERE unit_price_now > unit_price
ORDER BY dearer DESC, barcode
LIMIT 10;
