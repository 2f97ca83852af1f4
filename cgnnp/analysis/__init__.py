"""Analysis of trajectories and models: structure, free energies, pressure, and the comparison of two runs."""
