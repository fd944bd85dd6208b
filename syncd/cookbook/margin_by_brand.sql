-- about: Shops
-- question: What margin did each brand leave in the last twelve months, and on how many lines is it not known?
SELECT brand, sum(turnover) FILTER (WHERE margin IS NOT NULL) AS turnover, sum(margin) AS margin,
       round(100 * sum(margin) / nullif(sum(turnover) FILTER (WHERE margin IS NOT NULL), 0), 1) AS percent,
       count(*) FILTER (WHERE margin IS NULL) AS unknown
FROM reporting.sales_lines
WHERE booked_month >= date_trunc('month', reporting.now()) - interval '12 months' AND is_booked AND brand IS NOT NULL
GROUP BY brand
ORDER BY margin DESC NULLS LAST, brand
LIMIT 10;
