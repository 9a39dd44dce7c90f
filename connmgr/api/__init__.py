"""The control API: HTTP over `manager.snapshot()` and commands, on a unix socket."""
