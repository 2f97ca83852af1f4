"""From configurations to plans: what knows hydra, and words errors for people."""
