"""Complete files, judged settings, errors, progress, signals, platforms: what everything else stands on."""
