"""A fifth API, as somebody would add one: its source, its migration, its sandbox and its page. Nothing else.

`tests/integration/test_fifth_api.py` puts each file where it belongs in a copy of the code base:

    source.py      syncd/sources/toy/__init__.py
    migration.py   migrations/versions/9999_toy.py, after the newest migration
    sandbox.py     syncd/sandbox/apis/toy/__init__.py
    page.md        docs/sources/toy.md
"""
