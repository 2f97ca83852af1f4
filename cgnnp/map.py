"""`python -m cgnnp.map`: a mapping of atoms that were kept, or of trajectories in files."""

from omegaconf import DictConfig

from cgnnp import commands


def job(config: DictConfig) -> None:
    """This stage alone."""
    from cgnnp.configured_frames import map_frames

    map_frames(config)


def main() -> None:
    """Console script."""
    commands.run("map", job)


if __name__ == "__main__":
    main()
