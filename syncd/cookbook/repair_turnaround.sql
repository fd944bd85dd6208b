-- about: Shops
-- question: How many days do repairs of the last twelve months take, from when they were entered until they are booked?
SELECT created_month AS month, count(*) AS repairs, count(booked_at) AS booked,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY days_to_booking) AS days_half,
       percentile_disc(0.9) WITHIN GROUP (ORDER BY days_to_booking) AS days_nine_of_ten
FROM reporting.workshop_orders
WHERE created_month >= date_trunc('month', reporting.now()) - interval '12 months'
GROUP BY month
ORDER BY month;
