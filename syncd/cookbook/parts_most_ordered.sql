-- about: Parts
-- question: Which parts do we order most?
SELECT product_id, product_name, sum(quantity) AS quantity, count(DISTINCT order_id) AS orders
FROM reporting.parts_order_lines
GROUP BY product_id, product_name
ORDER BY quantity DESC, product_id
LIMIT 10;
