"""What a run found: summary.json as a value, what it says in words, and the HTML page."""
