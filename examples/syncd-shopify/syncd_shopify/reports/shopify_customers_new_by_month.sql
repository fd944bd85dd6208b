-- about: Web shop
-- question: How many customers did the web shop win in each of the last twelve months, and what have they spent since?
SELECT date_trunc('month', created_at AT TIME ZONE 'Europe/Amsterdam')::date AS month, count(*) AS customers,
       sum(total_spent) AS spent
FROM shopify.customers
WHERE created_at >= reporting.now() - interval '12 months' AND _deleted_at IS NULL
GROUP BY month
ORDER BY month;
