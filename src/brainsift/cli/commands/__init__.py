"""One module for each command: `add_arguments` declares its arguments, `run` parses, calls and prints.

Modules: the module named like the command.
May import: all above.
"""
