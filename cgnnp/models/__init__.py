"""Networks: torch only, and e3nn for the constants of the rotation group."""
