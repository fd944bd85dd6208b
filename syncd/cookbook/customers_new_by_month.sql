-- about: Shops
-- question: How many customers were new in each of the last twelve months?
SELECT date_trunc('month', created_at AT TIME ZONE 'Europe/Amsterdam')::date AS month, count(*) AS customers
FROM reporting.customers
WHERE created_at >= reporting.now() - interval '12 months'
GROUP BY month
ORDER BY month;
