"""The check of an exported potential: its tests, listed in `all_tests.py`, and a table and a page of their results."""
