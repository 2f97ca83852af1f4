"""Mappings from atoms to beads, one small module per family. They may import mdtraj and `cgnnp.mapping`, nothing else.

A mapping is any function `(atomistic: Atomistic, *, name, ...) -> Mapping`. A configuration names the function by
`_target_`.
"""
