"""Both tests of mapped data in one pass over its pairs: configurational temperatures and the g-YBG residual."""

from dataclasses import dataclass
from typing import Any

from cgnnp.configurational_temperature import Temperatures, temperatures
from cgnnp.frames import Frames
from cgnnp.pair_fields import default_fields, pair_sums, untestable
from cgnnp.ybg import YvonBornGreen, ybg_residual


@dataclass(frozen=True)
class Consistency:
    """T_conf of every kind of pair and of all, and the g-YBG residual, of frames at a temperature in K."""

    temperatures: Temperatures
    ybg: YvonBornGreen
    temperature: float

    def disagreements(self) -> list[str]:
        """What is not as it should be, in words; nothing where all agrees or cannot be tested."""
        rows = (*self.temperatures.by_pair, self.temperatures.combined)
        wrong = [
            f"{row}, but the thermostat is at {self.temperature:g} K: wrong force map, units, temperature or box"
            for row in dict.fromkeys(rows)
            if row.agrees(self.temperature) is False
        ]
        return wrong + ([str(self.ybg)] if self.ybg.agrees() is False else [])

    def to_dict(self, key: str = "") -> dict[str, Any]:
        """As plain data, for summaries: `t_conf<key>_...` and `ybg<key>`."""
        combined, rows = self.temperatures.combined, self.temperatures.by_pair
        return {
            f"t_conf{key}_pair": combined.name,
            f"t_conf{key}_K": combined.value,
            f"t_conf{key}_stderr_K": combined.stderr,
            f"t_conf{key}_reason": combined.reason,
            f"t_conf{key}_tau_frames": combined.tau_frames,
            f"t_conf{key}_reliable": combined.reliable,
            f"t_conf{key}_pairs": [row.to_dict() | {"agrees": row.agrees(self.temperature)} for row in rows],
            f"ybg{key}": self.ybg.to_dict(),
        }


def check_consistency(frames: Frames) -> Consistency:
    """Test whether positions and forces belong to one Boltzmann distribution."""
    sums = None if untestable(frames) else pair_sums(frames, default_fields(frames))
    return Consistency(temperatures(frames, sums), ybg_residual(frames, sums=sums), frames.temperature)
