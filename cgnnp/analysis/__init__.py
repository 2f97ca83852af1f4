"""Structure and free energies of trajectories and models."""
