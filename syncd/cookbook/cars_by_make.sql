-- about: Cars
-- question: What is in inventory by make, at what price, and how long does it stay?
SELECT make, count(*) AS cars, round(avg(dealer_price)) AS average_price, sum(dealer_price) AS value,
       round(avg(days_in_stock)) AS average_days
FROM reporting.vehicle_inventory
GROUP BY make
ORDER BY cars DESC, make;
