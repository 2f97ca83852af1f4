"""The stages of a run and their chaining, usable from Python without hydra."""
