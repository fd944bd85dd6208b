-- about: Across sources
-- question: Which lease bikes that must still be ordered does a shop have in stock?
SELECT order_number, bike_brand, bike_model, bike_size, store_name, description, in_stock - reserved AS free
FROM reporting.lease_order_stock
WHERE bike_state = 'to_order' AND state IN ('approved_hr', 'confirmed', 'ordered') AND in_stock > reserved
  AND created_month >= date_trunc('month', reporting.now()) - interval '2 years'
ORDER BY order_number, store_name, article_id;
