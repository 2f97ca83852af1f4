"""Mappings from atoms to beads: the linear maps, their construction, and the certificate of the force map.

Imports numpy and scipy only.
"""
