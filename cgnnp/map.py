"""`python -m cgnnp.map`: a new mapping of atoms that were kept, without sampling again."""

from omegaconf import DictConfig

from cgnnp import commands


def job(config: DictConfig) -> None:
    """This stage alone."""
    from cgnnp.configured import map_kept

    map_kept(config)


def main() -> None:
    """Console script."""
    commands.run("map", job)


if __name__ == "__main__":
    main()
