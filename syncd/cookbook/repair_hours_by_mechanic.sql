-- about: Shops
-- question: How many hours of work did each mechanic sell in the last twelve months, and what did an hour bring?
SELECT mechanic, round(sum(work_minutes) / 60, 1) AS hours, sum(turnover) AS turnover,
       round(sum(turnover) / nullif(sum(work_minutes) / 60, 0), 2) AS per_hour
FROM reporting.sales_lines
WHERE booked_month >= date_trunc('month', reporting.now()) - interval '12 months' AND is_booked
  AND mechanic_id IS NOT NULL AND work_minutes IS NOT NULL
GROUP BY mechanic_id, mechanic
ORDER BY hours DESC, mechanic;
