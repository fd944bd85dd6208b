-- about: Shops
-- question: Which articles does a store lack, although the other stores have many?
SELECT stores.name AS store_name, spread.brand, spread.article_id, spread.in_stock AS elsewhere
FROM (
  SELECT source, brand, article_id, sum(in_stock) AS in_stock,
         array_agg(store_id) FILTER (WHERE in_stock > 0) AS store_ids
  FROM reporting.stock
  GROUP BY source, brand, article_id
  HAVING sum(in_stock) >= 5
) AS spread
JOIN reporting.stores ON stores.source = spread.source AND stores.store_id <> ALL (spread.store_ids)
ORDER BY elsewhere DESC, article_id, store_name
LIMIT 10;
