-- about: Shops
-- question: Which customers ordered in the last two years, but not in the last one?
SELECT customer_id, full_name, phone, email, orders, last_order_at
FROM (
  SELECT source, customer_id, count(*) AS orders, max(created_at) AS last_order_at
  FROM reporting.sales_orders
  WHERE created_month >= date_trunc('month', reporting.now()) - interval '2 years' AND NOT is_cancelled
  GROUP BY source, customer_id
  HAVING max(created_at) < reporting.now() - interval '1 year'
  ORDER BY last_order_at DESC
  LIMIT 10
) AS quiet
LEFT JOIN reporting.customers USING (source, customer_id)
ORDER BY last_order_at DESC;
