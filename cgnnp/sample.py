"""`python -m cgnnp.sample`: sample an atomistic system into the data cache."""

from typing import TYPE_CHECKING

from cgnnp.runtime.signals import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def job(config: "DictConfig") -> None:
    """This stage alone."""
    from cgnnp.commands.frames import sample

    sample(config)


def main() -> None:
    """Console script."""
    with stoppable():  # from the imports on
        from cgnnp.commands import hydra_job

        hydra_job.run("sample", job)


if __name__ == "__main__":
    main()
