"""`python -m cgnnp.train`: sample, map, fit, export, simulate, compare."""

from typing import TYPE_CHECKING

from cgnnp.runtime.signals import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def job(config: "DictConfig") -> None:
    """Run all stages. Stages that are finished in `run_dir` are not repeated, and existing data sets are reused."""
    from cgnnp.commands import hydra_job
    from cgnnp.commands.training import train

    train(config, hydra_job.resolved_yaml(config), hydra_job.command_line(), hydra_job.job_name())


def main() -> None:
    """Run the command."""
    with stoppable():  # signals are also handled during the imports below, which take seconds
        from cgnnp.commands import hydra_job

        hydra_job.run("train", job)


if __name__ == "__main__":
    main()
