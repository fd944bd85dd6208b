-- about: Shops
-- question: Which articles are at their minimum in a store or below it, and how many are missing up to the maximum?
SELECT store_name, barcode, article, supplier, stock_level, min_stock_level,
       greatest(coalesce(max_stock_level, min_stock_level), min_stock_level) - stock_level AS missing
FROM reporting.article_stock
WHERE is_low
ORDER BY missing DESC, barcode, store_number
LIMIT 10;
