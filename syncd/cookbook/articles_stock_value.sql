-- about: Shops
-- question: What is the stock of articles worth at purchase price, by group, and of how many is the price unknown?
SELECT group_name, count(DISTINCT barcode) AS articles, sum(greatest(stock_level, 0)) AS in_stock,
       sum(stock_value) AS purchase_value,
       count(DISTINCT barcode) FILTER (WHERE purchase_price IS NULL) AS without_price
FROM reporting.article_stock
GROUP BY group_name
ORDER BY purchase_value DESC NULLS LAST, group_name;
