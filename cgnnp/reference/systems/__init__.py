"""Atomistic systems that are ready to sample with OpenMM, with one module for each family."""
