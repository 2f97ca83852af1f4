"""Mappings from atoms to beads, one small module per family. They may use mdtraj and `cgnnp.mapping.mapping`, nothing else.

A mapping is any function `(atomistic: Atomistic, *, name, ...) -> Mapping`; a configuration names it by `_target_`.
"""
