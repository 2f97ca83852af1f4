"""`python -m cgnnp.compare`: compare a coarse-grained run with the data it came from."""

from omegaconf import DictConfig

from cgnnp import commands


def job(config: DictConfig) -> None:
    """This stage alone."""
    from cgnnp.configured import compare

    compare(config)


def main() -> None:
    """Console script."""
    commands.run("compare", job)


if __name__ == "__main__":
    main()
