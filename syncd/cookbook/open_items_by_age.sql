-- about: Shops
-- question: What do customers still have to pay, by age, and how much of it was paid since?
SELECT CASE WHEN NOT is_booked THEN 'not booked yet' WHEN age_days <= 30 THEN 'up to 30 days'
            WHEN age_days <= 90 THEN '31 to 90 days' ELSE 'over 90 days' END AS age,
       count(*) AS transactions, count(DISTINCT customer_id) AS customers, sum(unpaid) AS unpaid,
       sum(paid_since) AS paid_since
FROM reporting.open_items
GROUP BY age
ORDER BY min(coalesce(age_days, -1)), age;
