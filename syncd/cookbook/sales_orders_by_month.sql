-- about: Shops
-- question: How many sales orders did each store take in each of the last twelve months?
SELECT created_month AS month, store, count(*) AS orders, count(DISTINCT customer_id) AS customers
FROM reporting.sales_orders
WHERE created_at >= reporting.now() - interval '12 months'
GROUP BY month, store
ORDER BY month, store;
