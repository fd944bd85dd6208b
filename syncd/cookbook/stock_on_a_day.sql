-- about: Shops
-- question: What was in stock on 1 October, by store and brand? (stock_items with history = true)
SELECT store_name, brand, sum(in_stock) AS in_stock, sum(reserved) AS reserved, sum(purchase_value) AS purchase_value
FROM reporting.stock_as_of('2026-10-01 00:00 Europe/Amsterdam')
GROUP BY store_name, brand
ORDER BY purchase_value DESC NULLS LAST, store_name, brand
LIMIT 10;
