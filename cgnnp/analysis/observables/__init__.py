"""Observables, one file each: what is computed alike of both sides, compared, and shown."""
