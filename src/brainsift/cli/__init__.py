"""The command line: parse, call, print.

Modules: main, flags, console.
May import: all above.
"""
