-- about: Shops
-- question: Which brands brought the most in the last twelve months, and how many bikes of each were sold?
SELECT brand, sum(turnover) AS turnover, count(*) FILTER (WHERE is_bike) AS bikes
FROM reporting.sales_lines
WHERE booked_month >= date_trunc('month', reporting.now()) - interval '12 months' AND is_booked AND brand IS NOT NULL
GROUP BY brand
ORDER BY turnover DESC, brand
LIMIT 10;
