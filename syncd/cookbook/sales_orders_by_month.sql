-- about: Shops
-- question: How many sales orders did each store take in each month of the last year?
SELECT created_month AS month, store, count(*) AS orders, count(DISTINCT customer_id) AS customers
FROM reporting.sales_orders
WHERE created_month >= date_trunc('month', reporting.now()) - interval '1 year'
GROUP BY month, store
ORDER BY month, store;
