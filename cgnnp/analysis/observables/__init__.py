"""Observables, one file each. An observable is computed for the atomistic data and the coarse-grained run, and compared."""
