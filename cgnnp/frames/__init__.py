"""Mapped frames in memory and on disk, and the pairs of beads in them. This package imports numpy and scipy only."""
