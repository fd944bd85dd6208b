-- about: Shops
-- question: How much money lies in the stock of each brand, and what would it bring?
SELECT brand, count(*) AS bikes, sum(purchase_price) AS purchase_value, sum(retail_price) AS retail_value
FROM reporting.stock_objects
GROUP BY brand
ORDER BY purchase_value DESC, brand
LIMIT 10;
