"""One module a command: `add_arguments` declares, `run` parses, calls and prints."""
