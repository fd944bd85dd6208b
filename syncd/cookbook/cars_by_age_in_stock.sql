-- about: Cars
-- question: How much money is bound in cars that stand for long?
SELECT CASE WHEN days_in_stock <= 60 THEN '0 to 60 days' WHEN days_in_stock <= 180 THEN '61 to 180 days'
            WHEN days_in_stock <= 365 THEN '181 to 365 days' ELSE 'more than a year' END AS age,
       count(*) AS cars, sum(dealer_price) AS value
FROM reporting.vehicle_inventory
GROUP BY age
ORDER BY min(days_in_stock);
