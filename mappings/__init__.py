"""Mappings from atoms to beads, one module for each family. The modules may import mdtraj and parts of `cgnnp.mapping`.

A mapping is any function `(atomistic: Atomistic, *, name, ...) -> Mapping`. A configuration names the function by
`_target_`.
"""
