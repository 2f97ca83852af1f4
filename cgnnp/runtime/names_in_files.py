"""Names that files hold, apart from where the code is: moving a module must not make anyone sample or fit again.

Three kinds of files name things: the `meta.json` of a data set says which source made it, which is part of the hash that
names the data set; `model.json` and checkpoints name the class of a network; `config.yaml` of a run names what was
constructed. Here is the one table of names that the code has apart from its modules. What a class itself calls itself in
files stands in the class: the `kind` of a prior. Imports the standard library only.
"""

FROM_LANGEVIN = "cgnnp.reference.sampling"
FROM_MEAN_FORCES = "cgnnp.reference.mean_force"
FROM_FILES = "cgnnp.reference.file_source"
FROM_REPORTER = "cgnnp.MappedReporter"
FROM_COARSE_RUN = "cgnnp.simulation.run"
"""What `provenance.source` says of the frames of each source."""

KINETIC_TEMPERATURE, DEGREES_OF_FREEDOM = "kinetic_temperature_K", "degrees_of_freedom"
"""What chunk.json records of the velocities of a chunk."""

JUDGED = "judged"
"""Digest of the checksums of the arrays of a chunk whose numbers were looked at."""

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
"""Where that is now which has another name in files: of earlier versions, or for good."""

_WRITTEN = {home: name for name, home in HOMES.items()}


def home_of(name: str) -> str:
    """Where to import what a file names.

    >>> home_of("cgnnp.reference.systems.water"), home_of("my_module.my_mapping")
    ('cgnnp.reference.systems.water.water', 'my_module.my_mapping')
    """
    return HOMES.get(name, name)


def name_in_files(home: str) -> str:
    """What files call a class or function of this module and name.

    >>> name_in_files("cgnnp.models.nequip.NequIP")
    'cgnnp.models.nequip.NequIP'
    """
    return _WRITTEN.get(home, home)
