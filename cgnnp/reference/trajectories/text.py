"""A check that all readers of text files make. Imports the standard library only."""

from pathlib import Path


def check_last_line(path: Path) -> None:
    """Refuse a text file with an incomplete last line: a number that lost its last digits still looks like a number.

    Raises:
        ValueError: the file is empty, or its last line does not end with a newline.
    """
    with path.open("rb") as file:
        if file.seek(0, 2) == 0:
            raise ValueError(f"{path}: the file is empty")
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            raise ValueError(
                f"{path}: the last line does not end with a newline, so the file seems truncated: remove the last frame, or "
                "add the newline if the line is complete"
            )
