-- about: Shops
-- question: In which cities do our customers live?
SELECT city, country, count(*) AS customers
FROM reporting.customers
GROUP BY city, country
ORDER BY customers DESC, city
LIMIT 10;
