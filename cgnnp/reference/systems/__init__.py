"""Atomistic systems, ready to sample with OpenMM: one file a family."""
