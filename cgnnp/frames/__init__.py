"""Mapped frames: what they hold, in memory and on disk, and the pairs of beads in them. numpy and scipy only."""
