"""Names that are stored in files. They do not change when code moves to another module, so old files remain valid.

Three kinds of files store such names. The `meta.json` of a data set names the source of the frames, and the folder of the
data set is named by a hash that depends on it. `model.json` and checkpoints name the class of a network. The `config.yaml`
of a run names the classes and functions that were used. The table `HOMES` in this module lists all stored names that differ
from the present places in the code. Names that a class itself defines, such as the `kind` of a prior, are stored in the
class. Imports the standard library only.
"""

FROM_LANGEVIN = "cgnnp.reference.sampling"
FROM_MEAN_FORCES = "cgnnp.reference.mean_force"
FROM_FILES = "cgnnp.reference.file_source"
FROM_REPORTER = "cgnnp.MappedReporter"
FROM_COARSE_RUN = "cgnnp.simulation.run"
"""Values of `provenance.source` in the metadata of frames: one value for each way in which frames are made."""

KINETIC_TEMPERATURE, DEGREES_OF_FREEDOM = "kinetic_temperature_K", "degrees_of_freedom"
"""Keys in chunk.json for the kinetic temperature of the chunk (K) and its number of degrees of freedom."""

JUDGED = "judged"
"""Key in chunk.json for the hash of the checksums of the arrays.

If the stored hash belongs to the present checksums, the values of the arrays have already been checked.
"""

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
"""Dictionary from the names in files to the present places in the code.

New files also have the names on the left, so files of all versions agree.
"""

_WRITTEN = {home: name for name, home in HOMES.items()}


def home_of(name: str) -> str:
    """Return the full name under which a class or function that a file names is imported now.

    >>> home_of("cgnnp.reference.systems.water"), home_of("my_module.my_mapping")
    ('cgnnp.reference.systems.water.water', 'my_module.my_mapping')
    """
    return HOMES.get(name, name)


def name_in_files(home: str) -> str:
    """Return the name that files use for a class or function with this full name in the code.

    >>> name_in_files("cgnnp.models.nequip.NequIP")
    'cgnnp.models.nequip.NequIP'
    """
    return _WRITTEN.get(home, home)
