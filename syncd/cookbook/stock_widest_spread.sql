-- about: Shops
-- question: Which articles lie in the most stores?
SELECT brand, article_id, count(DISTINCT store_id) AS stores, sum(in_stock) AS in_stock, sum(demo) AS demo
FROM reporting.stock
GROUP BY brand, article_id
ORDER BY stores DESC, in_stock DESC, article_id
LIMIT 10;
