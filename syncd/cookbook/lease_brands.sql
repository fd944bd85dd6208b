-- about: Lease
-- question: Which brands are leased most, and at what cost?
SELECT bike_brand, count(*) AS orders, round(avg(lease_cost), 2) AS average_cost,
       round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS percent
FROM reporting.lease_orders
GROUP BY bike_brand
ORDER BY orders DESC, bike_brand
LIMIT 10;
