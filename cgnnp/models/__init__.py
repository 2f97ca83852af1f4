"""Neural-network potentials in plain torch. The constants of the rotation group come from e3nn."""
