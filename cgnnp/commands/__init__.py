"""Read command lines and configurations, and construct the objects that they describe. No other package uses hydra."""
