"""Names that are stored in files. They do not change when code moves to another module, so old files remain valid.

Three kinds of files store such names. The `meta.json` of a data set names the source of the frames, which is part of the
hash that names the data set. `model.json` and checkpoints name the class of a network. The `config.yaml` of a run names what
was constructed. This module has the only table in which stored names differ from the places in the code. Names that a class
itself gives, such as the `kind` of a prior, are in the class. Imports the standard library only.
"""

FROM_LANGEVIN = "cgnnp.reference.sampling"
FROM_MEAN_FORCES = "cgnnp.reference.mean_force"
FROM_FILES = "cgnnp.reference.file_source"
FROM_REPORTER = "cgnnp.MappedReporter"
FROM_COARSE_RUN = "cgnnp.simulation.run"
"""Values of `provenance.source` for the frames of each source."""

KINETIC_TEMPERATURE, DEGREES_OF_FREEDOM = "kinetic_temperature_K", "degrees_of_freedom"
"""Entries of chunk.json about the velocities of a chunk."""

JUDGED = "judged"
"""Entry with the digest of the checksums of those arrays of a chunk whose values have been checked."""

HOMES = {
    "cgnnp.priors.refinement.RefinementSettings": "cgnnp.training.relative_entropy.RefinementSettings",
    "cgnnp.reference.electrolyte.electrolyte": "cgnnp.reference.systems.electrolyte.electrolyte",
    "cgnnp.reference.file_source.from_files": "cgnnp.reference.trajectories.file_source.from_files",
    "cgnnp.reference.mean_force.mean_force": "cgnnp.reference.sampling.mean_force.mean_force",
    "cgnnp.reference.openmm_files.openmm_files": "cgnnp.reference.systems.openmm_files.openmm_files",
    "cgnnp.reference.peptides.alanine_dipeptide": "cgnnp.reference.systems.peptides.alanine_dipeptide",
    "cgnnp.reference.sampling.langevin": "cgnnp.reference.sampling.langevin.langevin",
    "cgnnp.training.fit.FitSettings": "cgnnp.training.force_matching.ForceMatching",
    "cgnnp.reference.systems.water": "cgnnp.reference.systems.water.water",
    "cgnnp.reference.systems.water_spce": "cgnnp.reference.systems.water.water_spce",
}
"""Names in files, and the current places in the code. Some are from earlier versions; others differ permanently."""

_WRITTEN = {home: name for name, home in HOMES.items()}


def home_of(name: str) -> str:
    """Return the place to import a class or function from that a file names.

    >>> home_of("cgnnp.reference.systems.water"), home_of("my_module.my_mapping")
    ('cgnnp.reference.systems.water.water', 'my_module.my_mapping')
    """
    return HOMES.get(name, name)


def name_in_files(home: str) -> str:
    """Return the name that files use for a class or function at this place.

    >>> name_in_files("cgnnp.models.nequip.NequIP")
    'cgnnp.models.nequip.NequIP'
    """
    return _WRITTEN.get(home, home)
