"""The atomistic side: built-in systems, sampling with mapping on the fly, and OpenMM topologies. Imports openmm, mdtraj."""
