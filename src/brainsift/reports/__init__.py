"""Charts, galleries and HTML reports of audits, searches and studies.

Modules: write, audit_page, study_page, study_findings, charts, galleries, markdown.
May import: core, images, pages, datasets, stats, evaluation.
"""
