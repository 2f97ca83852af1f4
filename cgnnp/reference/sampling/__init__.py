"""Sampling of frames with OpenMM: Langevin dynamics, mean forces, and a reporter for any OpenMM script."""
