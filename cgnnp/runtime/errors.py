"""The error for a wrong argument. The library names the argument; the commands name the key of the configuration."""


class SettingError(ValueError):
    """An argument has a value that cannot be used.

    Args:
        group: group of the configuration that contains the setting; empty for settings beside the groups.
        message: message that begins with the name of the argument.

    >>> error = SettingError("model", "layers=1000: must be 1 to 20")
    >>> str(error), error.configured
    ('layers=1000: must be 1 to 20', 'model.layers=1000: must be 1 to 20')
    """

    def __init__(self, group: str, message: str) -> None:
        super().__init__(group, message)
        self.group, self.message = group, message

    @property
    def configured(self) -> str:
        """The message with the key of the configuration instead of the name of the argument."""
        return f"{self.group}.{self.message}" if self.group else self.message

    def __str__(self) -> str:
        return self.message
