"""What a process imports once, whose forks then run commands of cgnnp without importing it again."""

PRELOADED = (
    "torch",
    "openmm",
    "lightning",
    "hydra",
    "matplotlib.pyplot",
    "mdtraj",
    "cgnnp.commands.training",
    "cgnnp.workflow.data_check",
)
