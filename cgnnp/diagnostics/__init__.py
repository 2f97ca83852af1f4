"""Tests of mapped frames: are positions, forces, boxes and temperature consistent? Imports numpy and scipy only."""
