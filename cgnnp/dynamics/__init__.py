"""Molecular dynamics in OpenMM, atomistic and coarse-grained: Langevin dynamics, starting positions and topologies."""
