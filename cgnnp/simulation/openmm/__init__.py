"""All that knows how OpenMM runs a network: the back ends, and TorchScript."""
