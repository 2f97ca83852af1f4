"""Turn command lines and configurations into plans. Only this package uses hydra and rewords its errors for users."""
