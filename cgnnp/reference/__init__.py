"""Atomistic reference data: built-in systems, sampling with OpenMM, trajectories of other engines. Uses openmm, mdtraj."""
