-- about: Shops
-- question: Where do the customers live who came in the last two years?
SELECT city, country, count(*) AS customers
FROM reporting.customers
WHERE created_at >= reporting.now() - interval '2 years'
GROUP BY city, country
ORDER BY customers DESC, city
LIMIT 10;
