-- about: Shops
-- question: How was paid in each store in the last twelve months?
SELECT booked_month AS month, store_id, method, count(*) AS payments, sum(amount) AS amount
FROM reporting.payments
WHERE booked_month >= date_trunc('month', reporting.now()) - interval '12 months'
GROUP BY month, store_id, method
ORDER BY month DESC, store_id, method
LIMIT 12;
