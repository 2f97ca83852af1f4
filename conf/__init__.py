"""Configuration: one commented primary file per command, and groups to choose from."""
