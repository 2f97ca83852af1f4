"""Utilities for all other packages: complete files, checked settings, errors, progress, signals, platforms."""
