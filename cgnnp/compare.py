"""`python -m cgnnp.compare`: compare a coarse-grained run with atomistic data."""

from typing import TYPE_CHECKING

from cgnnp.runtime.signals import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def job(config: "DictConfig") -> None:
    """Compare, and write the report again."""
    from cgnnp.commands.hydra_job import overrides
    from cgnnp.commands.training import compare

    compare(config, overrides())


def main() -> None:
    """Console script."""
    with stoppable():  # from the imports on
        from cgnnp.commands import hydra_job

        hydra_job.run("compare", job)


if __name__ == "__main__":
    main()
