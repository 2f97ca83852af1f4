"""Mapped frames in memory and on disk, and the pairs of beads in them. Imports numpy and scipy only."""
