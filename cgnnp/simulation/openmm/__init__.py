"""Networks as forces in OpenMM: the back ends and the TorchScript modules."""
