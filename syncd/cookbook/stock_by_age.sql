-- about: Shops
-- question: How old is the stock, and how much money lies in what is old?
SELECT CASE WHEN days_in_stock <= 90 THEN '0 to 90 days' WHEN days_in_stock <= 180 THEN '91 to 180 days'
            WHEN days_in_stock <= 365 THEN '181 to 365 days' ELSE 'more than a year' END AS age,
       count(*) AS bikes, sum(purchase_price) AS purchase_value
FROM reporting.stock_objects
WHERE stocked_on IS NOT NULL
GROUP BY age
ORDER BY min(days_in_stock);
