"""Fast evaluators for networks. Each one is compared with plain torch before it is used."""
