-- about: Shops
-- question: What lies in the stores that nobody bought in the last twelve months, and what is it worth at purchase price?
WITH sold AS MATERIALIZED (
  SELECT DISTINCT source, barcode FROM reporting.sales_lines
  WHERE booked_month >= date_trunc('month', reporting.now()) - interval '12 months' AND barcode IS NOT NULL
)
SELECT group_name, count(DISTINCT barcode) AS articles, sum(stock_level) AS in_stock, sum(stock_value) AS purchase_value
FROM reporting.article_stock
WHERE stock_level > 0 AND (source, barcode) NOT IN (SELECT source, barcode FROM sold)
GROUP BY group_name
ORDER BY purchase_value DESC NULLS LAST, group_name;
