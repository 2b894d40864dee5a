"""The command line: parse, call, print.

Modules: main, flags, console, training_flags.
May import: all above.
"""
