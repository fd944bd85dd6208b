{% snapshot stock_levels %}
{{
    config(
        unique_key="store_brand_key",
        strategy="check",
        check_cols=["in_stock", "reserved", "demo_and_rental", "retail_value"],
        hard_deletes="invalidate",
    )
}}
select * from {{ ref('store_stock') }}
{% endsnapshot %}
