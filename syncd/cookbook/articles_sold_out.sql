-- about: Shops
-- question: Which articles were sold in the last twelve months, and how many in the last 90 days, and are in no store now?
WITH sold AS (
  SELECT source, barcode, sum(quantity) AS sold, max(booked_at) AS last_sold_at,
         coalesce(sum(quantity) FILTER (WHERE booked_at >= reporting.now() - interval '90 days'), 0) AS sold_lately
  FROM reporting.sales_lines
  WHERE booked_month >= date_trunc('month', reporting.now()) - interval '12 months' AND barcode IS NOT NULL
  GROUP BY source, barcode
)
SELECT barcode, brand, pos_description, supplier, sold_lately, sold, last_sold_at
FROM sold JOIN reporting.articles USING (source, barcode)
WHERE NOT is_object AND coalesce(stock_level, 0) <= 0
ORDER BY sold_lately DESC, sold DESC, barcode
LIMIT 10;
