"""`python -m cgnnp.map`: a mapping of atoms that were kept, or of trajectories in files."""

from typing import TYPE_CHECKING

from cgnnp.runtime.signals import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def job(config: "DictConfig") -> None:
    """This stage alone."""
    from cgnnp.commands.frames import map_frames

    map_frames(config)


def main() -> None:
    """Console script."""
    with stoppable():  # from the imports on
        from cgnnp.commands import hydra_job

        hydra_job.run("map", job)


if __name__ == "__main__":
    main()
