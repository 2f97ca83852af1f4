"""The results of a run: the entries of summary.json, their judgement in words, and the HTML page."""
