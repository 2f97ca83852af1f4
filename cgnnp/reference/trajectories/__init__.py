"""Trajectories with forces that other engines wrote: one file a format, and their topologies."""
