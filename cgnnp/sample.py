"""`python -m cgnnp.sample`: sample an atomistic system and store the mapped frames."""

from typing import TYPE_CHECKING

from cgnnp.runtime.signals import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def job(config: "DictConfig") -> None:
    """Sample the system and store the mapped frames."""
    from cgnnp.commands.frames import sample

    sample(config)


def main() -> None:
    """Run the command."""
    with stoppable():  # signals are also handled during the imports below, which take seconds
        from cgnnp.commands import hydra_job

        hydra_job.run("sample", job)


if __name__ == "__main__":
    main()
