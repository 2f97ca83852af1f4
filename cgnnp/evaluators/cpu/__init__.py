"""Fast evaluation on CPUs: C++ is generated for the structure of a network, compiled once, and kept on disk."""
