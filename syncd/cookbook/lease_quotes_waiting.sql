-- about: Lease
-- question: Which quotes of the last two years wait for an answer for more than three months?
SELECT order_number, state, company_name, cyclist_name, bike, lease_value, created_at
FROM reporting.lease_orders
WHERE state IN ('quote', 'quote_sent', 'quote_to_review') AND created_at < reporting.now() - interval '3 months'
  AND created_month >= date_trunc('month', reporting.now()) - interval '2 years'
ORDER BY created_at DESC, order_number
LIMIT 10;
