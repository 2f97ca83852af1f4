"""Frames that are sampled with OpenMM: Langevin dynamics, mean forces, any script with a reporter."""
