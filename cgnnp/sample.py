"""`python -m cgnnp.sample`: sample an atomistic system into the data cache."""

from omegaconf import DictConfig

from cgnnp import commands


def job(config: DictConfig) -> None:
    """This stage alone."""
    from cgnnp.configured_frames import sample

    sample(config)


def main() -> None:
    """Console script."""
    commands.run("sample", job)


if __name__ == "__main__":
    main()
