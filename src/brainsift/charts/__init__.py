"""Charts as SVG that keep their name, for pages, files and notebooks.

Modules: figure, plots, notebook.
May import: core, stats.
"""
