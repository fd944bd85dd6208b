-- about: Cars
-- question: How many cars does each branch have, incoming, in inventory and sold?
SELECT branch_id, count(*) FILTER (WHERE state = 'incoming') AS incoming,
       count(*) FILTER (WHERE state = 'inventory') AS inventory, count(*) FILTER (WHERE state = 'sold') AS sold
FROM reporting.vehicles
GROUP BY branch_id
ORDER BY branch_id;
