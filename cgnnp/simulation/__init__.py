"""Coarse-grained simulation: the exported potential, its forces in OpenMM, and its runs. Imports torch and openmm."""
