"""Self-contained HTML and PDF pages from templates, and the report of a batch of predictions.

Modules: html, batch_page.
May import: core, images, volumes, inference.
"""
