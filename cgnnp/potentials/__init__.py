"""Potentials that come with cgnnp: a folder each, as `cgnnp.export` writes it, with the report of the run that made it."""
