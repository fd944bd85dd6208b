-- about: Parts
-- question: What discount do we get on each brand?
SELECT brand, count(*) AS parts, round(avg(discount_percent), 1) AS average_discount, min(net_price) AS cheapest,
       max(net_price) AS dearest
FROM reporting.parts
GROUP BY brand
ORDER BY parts DESC, brand;
