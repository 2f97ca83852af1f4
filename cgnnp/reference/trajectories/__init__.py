"""Trajectories with forces, and topologies, from other engines, with one module for each trajectory format."""
