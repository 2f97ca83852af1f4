"""`python -m cgnnp.map`: map stored atoms, or trajectories in files, to beads."""

from typing import TYPE_CHECKING

from cgnnp.runtime.signals import stoppable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def job(config: "DictConfig") -> None:
    """Map the frames to beads and store them."""
    from cgnnp.commands.frames import map_frames

    map_frames(config)


def main() -> None:
    """Run the command."""
    with stoppable():  # signals are also handled during the imports below, which take seconds
        from cgnnp.commands import hydra_job

        hydra_job.run("map", job)


if __name__ == "__main__":
    main()
