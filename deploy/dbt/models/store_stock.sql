-- What lies in each store by brand: how much, what it is worth, how old it is. The snapshot stock_levels keeps its past.
select
    source,
    store_id,
    coalesce(brand, '') as brand,
    min(store_name) as store_name,
    sum(in_stock) as in_stock,
    sum(reserved) as reserved,
    sum(demo + rental) as demo_and_rental,
    sum(purchase_value_decimal)::numeric(18, 4) as purchase_value,
    sum(retail_value_decimal)::numeric(18, 4) as retail_value,
    min(oldest_on) as oldest_on,
    concat_ws('|', source, store_id, coalesce(brand, '')) as store_brand_key
from {{ source('reporting', 'stock') }}
group by source, store_id, coalesce(brand, '')
