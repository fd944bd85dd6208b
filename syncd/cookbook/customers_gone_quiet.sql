-- about: Shops
-- question: Which customers ordered more than once, but not in the last year?
SELECT orders.customer_id, customers.full_name, customers.phone, customers.email, orders.orders, orders.last_order_at
FROM (
  SELECT source, customer_id, count(*) AS orders, max(created_at) AS last_order_at
  FROM reporting.sales_orders
  GROUP BY source, customer_id
  HAVING count(*) > 1 AND max(created_at) < reporting.now() - interval '1 year'
) AS orders
JOIN reporting.customers USING (source, customer_id)
ORDER BY last_order_at DESC
LIMIT 10;
