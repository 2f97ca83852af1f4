"""Networks as compiled C++: written for a model's structure, compiled once, kept on disk; the CPU's fast path."""
