-- about: Lease
-- question: How long did orders of the last two years stay in quote? (orders with history = true)
SELECT bike_brand, count(*) AS orders, round(avg(days)) AS days_on_average, round(max(days)) AS days_at_most
FROM (
  SELECT bike_brand, sum(extract(epoch FROM valid_to - valid_from)) / 86400 AS days
  FROM reporting.lease_orders_history
  WHERE state IN ('quote', 'quote_sent', 'quote_to_review')
    AND created_month >= date_trunc('month', reporting.now()) - interval '2 years'
  GROUP BY source, order_id, bike_brand
  HAVING bool_and(valid_to IS NOT NULL)
) AS no_longer_in_quote
GROUP BY bike_brand
ORDER BY orders DESC, bike_brand
LIMIT 10;
