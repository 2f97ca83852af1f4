"""The stages of a run, and the job that runs them in order. They can be used from Python without hydra."""
