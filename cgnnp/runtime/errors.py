"""The error for an argument that is wrong: the library names the argument, the commands the key of the configuration."""


class SettingError(ValueError):
    """An argument with a value that cannot be used.

    Args:
        group: of the configuration where the commands have it; empty for keys beside the groups.
        message: begins with the name of the argument.

    >>> error = SettingError("model", "layers=1000: must be 1 to 20")
    >>> str(error), error.configured
    ('layers=1000: must be 1 to 20', 'model.layers=1000: must be 1 to 20')
    """

    def __init__(self, group: str, message: str) -> None:
        super().__init__(group, message)
        self.group, self.message = group, message

    @property
    def configured(self) -> str:
        """The message with the key of the configuration in place of the argument's name."""
        return f"{self.group}.{self.message}" if self.group else self.message

    def __str__(self) -> str:
        return self.message
