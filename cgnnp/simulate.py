"""`python -m cgnnp.simulate`: simulate an exported potential, or extend the simulation of a run."""

from typing import TYPE_CHECKING

from cgnnp.runtime.signals import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def job(config: "DictConfig") -> None:
    """Run the simulation."""
    from cgnnp.commands import hydra_job
    from cgnnp.commands.training import simulate

    simulate(config, hydra_job.overrides())


def main() -> None:
    """Run the command."""
    with stoppable():  # signals are also handled during the imports below, which take seconds
        from cgnnp.commands import hydra_job

        hydra_job.run("simulate", job)


if __name__ == "__main__":
    main()
