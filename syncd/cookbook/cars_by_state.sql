-- about: Cars
-- question: How many cars does each branch have, incoming and in inventory?
SELECT branch_id, count(*) FILTER (WHERE state = 'incoming') AS incoming,
       count(*) FILTER (WHERE state = 'inventory') AS inventory
FROM reporting.vehicles
WHERE state IN ('incoming', 'inventory')
GROUP BY branch_id
ORDER BY branch_id;
