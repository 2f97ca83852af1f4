"""Is an exported potential sound? One test a function, entered in `all_tests.py`; a table and a page of what they find."""
