-- about: Parts
-- question: Which parts that we order are nearly gone from our own warehouse, and are there others elsewhere?
SELECT parts.product_id, name, parts.quantity AS own_warehouse, quantity_everywhere, ordered.quantity AS ordered
FROM reporting.parts
JOIN (
  SELECT source, product_id, sum(quantity) AS quantity FROM reporting.parts_order_lines GROUP BY source, product_id
) AS ordered USING (source, product_id)
WHERE parts.quantity <= 1
ORDER BY ordered DESC, product_id;
