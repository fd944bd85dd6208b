-- about: Shops
-- question: Which customers placed the most sales orders in the last two years?
SELECT customer_id, full_name, orders, last_order_at
FROM (
  SELECT source, customer_id, count(*) AS orders, max(created_at) AS last_order_at
  FROM reporting.sales_orders
  WHERE created_month >= date_trunc('month', reporting.now()) - interval '2 years' AND NOT is_cancelled
  GROUP BY source, customer_id
  ORDER BY orders DESC, last_order_at DESC
  LIMIT 10
) AS best
LEFT JOIN reporting.customers USING (source, customer_id)
ORDER BY orders DESC, last_order_at DESC;
