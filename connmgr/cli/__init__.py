"""The command line, one file a command. It has no back door: what it knows and does goes through the control API."""
