-- about: Lease
-- question: Which bikes of the last two years must still be ordered, for orders that are agreed on?
SELECT bike_brand, bike_model, count(*) AS bikes, min(created_at) AS waiting_since
FROM reporting.lease_orders
WHERE bike_state = 'to_order' AND state IN ('approved_hr', 'confirmed', 'ordered')
  AND created_month >= date_trunc('month', reporting.now()) - interval '2 years'
GROUP BY bike_brand, bike_model
ORDER BY bikes DESC, waiting_since
LIMIT 10;
