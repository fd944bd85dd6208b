-- about: Lease
-- question: How many lease orders came in each of the last twelve months, and of what value?
SELECT created_month AS month, count(*) AS orders, sum(lease_value) AS lease_value,
       round(avg(lease_cost), 2) AS average_cost
FROM reporting.lease_orders
WHERE created_at >= reporting.now() - interval '12 months'
GROUP BY month
ORDER BY month;
