-- about: Lease
-- question: Which brands were leased most in the last two years, and at what cost?
SELECT bike_brand, count(*) AS orders, round(avg(lease_cost), 2) AS average_cost,
       round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS percent
FROM reporting.lease_orders
WHERE created_month >= date_trunc('month', reporting.now()) - interval '2 years'
GROUP BY bike_brand
ORDER BY orders DESC, bike_brand
LIMIT 10;
