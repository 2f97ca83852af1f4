"""`python -m cgnnp.train`: sample, map, fit, export, simulate, compare."""

from typing import TYPE_CHECKING

from cgnnp.runtime.signals import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def job(config: "DictConfig") -> None:
    """The main job; what is finished in `run_dir` or in the data cache is not done again."""
    from cgnnp.commands import hydra_job
    from cgnnp.commands.training import train

    train(config, hydra_job.resolved_yaml(config), hydra_job.command_line(), hydra_job.job_name())


def main() -> None:
    """Console script."""
    with stoppable():  # from the imports on
        from cgnnp.commands import hydra_job

        hydra_job.run("train", job)


if __name__ == "__main__":
    main()
