-- about: Across sources
-- question: Do the shops stock the brands that people leased in the last year?
SELECT coalesce(stocked.brand, leased.bike_brand) AS brand, coalesce(leased.orders, 0) AS leased,
       coalesce(stocked.bikes, 0) AS in_stock
FROM (
  SELECT lower(brand) AS key, min(brand) AS brand, count(*) AS bikes FROM reporting.stock_objects GROUP BY key
) AS stocked
FULL JOIN (
  SELECT lower(bike_brand) AS key, min(bike_brand) AS bike_brand, count(*) AS orders
  FROM reporting.lease_orders
  WHERE created_month >= date_trunc('month', reporting.now()) - interval '1 year'
  GROUP BY key
) AS leased USING (key)
ORDER BY leased DESC, brand;
