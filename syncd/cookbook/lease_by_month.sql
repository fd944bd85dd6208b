-- about: Lease
-- question: How many lease orders came in each month of the last year, and of what value?
SELECT created_month AS month, count(*) AS orders, sum(lease_value) AS lease_value,
       round(avg(lease_cost), 2) AS average_cost
FROM reporting.lease_orders
WHERE created_month >= date_trunc('month', reporting.now()) - interval '1 year'
GROUP BY month
ORDER BY month;
