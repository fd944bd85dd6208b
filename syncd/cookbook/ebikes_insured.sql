-- about: Shops
-- question: How many of the e-bikes that each seller sold in the last twelve months were insured?
WITH sold AS (
  SELECT source, seller, object_id FROM reporting.sales_lines
  WHERE booked_month >= date_trunc('month', reporting.now()) - interval '12 months' AND is_bike AND is_ebike
)
SELECT seller, count(*) AS ebikes, count(*) FILTER (WHERE is_insured) AS insured,
       round(100.0 * count(*) FILTER (WHERE is_insured) / count(*), 1) AS percent
FROM (
  SELECT seller, (source, object_id) IN (SELECT source, object_id FROM reporting.insurances) AS is_insured FROM sold
) AS checked
GROUP BY seller
ORDER BY percent DESC NULLS LAST, seller;
