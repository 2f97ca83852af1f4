"""Molecular dynamics in OpenMM, for both sides: Langevin dynamics in chunks, starting positions, topologies."""
