-- about: Shops
-- question: Which customers placed the most sales orders in the last two years?
SELECT customer_id, customer_name, count(*) AS orders, max(created_at) AS last_order_at
FROM reporting.sales_orders
WHERE created_at >= reporting.now() - interval '2 years' AND NOT is_cancelled
GROUP BY customer_id, customer_name
ORDER BY orders DESC, last_order_at DESC
LIMIT 10;
