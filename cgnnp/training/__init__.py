"""Force matching with Lightning: data, the loss, the loop. Imports numpy, torch and (in the functions) lightning."""
