-- about: Shops
-- question: How many repairs were entered in each of the last twelve months, how long do they take, and what do they cost?
SELECT created_month AS month, count(*) AS repairs, count(*) FILTER (WHERE planned_at IS NULL) AS not_planned,
       round(avg(minutes)) AS minutes_on_average, sum(price_in_vat) AS price_in_vat
FROM reporting.workshop_orders
WHERE created_month >= date_trunc('month', reporting.now()) - interval '12 months'
GROUP BY month
ORDER BY month;
