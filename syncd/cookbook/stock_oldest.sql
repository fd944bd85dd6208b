-- about: Shops
-- question: Which bikes for sale are longest in stock?
SELECT store_name, description, frame_number, stocked_on, days_in_stock, retail_price
FROM reporting.stock_objects
WHERE NOT is_demo AND NOT is_rental
ORDER BY stocked_on, store_id, object_id
LIMIT 10;
