"""`python -m cgnnp.simulate`: run an exported potential, or extend a run."""

from omegaconf import DictConfig

from cgnnp import commands


def job(config: DictConfig) -> None:
    """This stage alone."""
    from cgnnp.configured import simulate

    simulate(config, commands.overrides())


def main() -> None:
    """Console script."""
    commands.run("simulate", job)


if __name__ == "__main__":
    main()
