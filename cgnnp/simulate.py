"""`python -m cgnnp.simulate`: run an exported potential, or extend a run."""

from typing import TYPE_CHECKING

from cgnnp.stopping import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def job(config: "DictConfig") -> None:
    """This stage alone."""
    from cgnnp import commands
    from cgnnp.configured import simulate

    simulate(config, commands.overrides())


def main() -> None:
    """Console script."""
    with stoppable():  # from the imports on
        from cgnnp import commands

        commands.run("simulate", job)


if __name__ == "__main__":
    main()
