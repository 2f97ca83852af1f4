"""`python -m cgnnp.simulate`: run an exported potential, or extend a run."""

from typing import TYPE_CHECKING

from cgnnp.runtime.signals import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def job(config: "DictConfig") -> None:
    """This stage alone."""
    from cgnnp.commands import hydra_job
    from cgnnp.commands.training import simulate

    simulate(config, hydra_job.overrides())


def main() -> None:
    """Console script."""
    with stoppable():  # from the imports on
        from cgnnp.commands import hydra_job

        hydra_job.run("simulate", job)


if __name__ == "__main__":
    main()
