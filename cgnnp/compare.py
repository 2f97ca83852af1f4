"""`python -m cgnnp.compare`: compare a coarse-grained run with atomistic data, or several runs with each other."""

from typing import TYPE_CHECKING

from cgnnp.runtime.signals import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def job(config: "DictConfig") -> None:
    """Compare a run with data, or several runs with each other, and write the report."""
    from cgnnp.commands.hydra_job import overrides
    from cgnnp.commands.training import compare

    compare(config, overrides())


def main() -> None:
    """Run the command."""
    with stoppable():  # signals are also handled during the imports below, which take seconds
        from cgnnp.commands import hydra_job

        hydra_job.run("compare", job)


if __name__ == "__main__":
    main()
