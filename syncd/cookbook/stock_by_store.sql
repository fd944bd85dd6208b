-- about: Shops
-- question: How many bikes does each store have, and how many of them are for demonstration or rent?
SELECT store_name, count(*) FILTER (WHERE NOT is_demo AND NOT is_rental) AS for_sale,
       count(*) FILTER (WHERE is_demo) AS demo, count(*) FILTER (WHERE is_rental AND NOT is_demo) AS rental
FROM reporting.stock_objects
GROUP BY store_name
ORDER BY for_sale DESC, store_name;
