"""Self-contained HTML and PDF pages from templates, and the report of a batch of predictions.

Modules: html, batch_page, api_page.
May import: core, images, volumes, inference.
"""
