-- about: Shops
-- question: Which articles does a store lack, although the other stores have many?
SELECT stores.name AS store_name, elsewhere.brand, elsewhere.article_id, elsewhere.in_stock AS elsewhere
FROM (
  SELECT source, brand, article_id, sum(in_stock) AS in_stock FROM reporting.stock GROUP BY source, brand, article_id
) AS elsewhere
JOIN reporting.stores USING (source)
WHERE NOT EXISTS (
  SELECT FROM reporting.stock
  WHERE stock.source = stores.source AND stock.store_id = stores.store_id
    AND stock.article_id = elsewhere.article_id AND stock.in_stock > 0
)
ORDER BY elsewhere DESC, article_id, store_name
LIMIT 10;
