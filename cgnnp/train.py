"""`python -m cgnnp.train`: sample, map, fit, export, simulate, compare."""

from omegaconf import DictConfig

from cgnnp import commands


def job(config: DictConfig) -> None:
    """The main job; what is finished in `run_dir` or in the data cache is not done again."""
    from cgnnp.configured import train

    train(config, commands.plain(config), commands.command_line())


def main() -> None:
    """Console script."""
    commands.run("train", job)


if __name__ == "__main__":
    main()
