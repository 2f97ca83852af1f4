"""The coarse-grained side: the exported bundle, its forces in OpenMM, and the runs. Imports torch and openmm."""
