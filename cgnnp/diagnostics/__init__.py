"""Are mapped data sound, and at the temperature that they are said to be at? numpy and scipy only."""
