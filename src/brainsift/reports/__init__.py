"""Galleries, tables and HTML reports of audits, searches and studies.

Modules: write, sections, audit_page, study_page, search_page, galleries, markdown.
May import: core, images, pages, datasets, stats, charts, training, auditing, evaluation, studies.
"""
