"""Force matching with Lightning: the data, the loss and the training loop. Imports numpy, torch and lightning."""
