"""Reports of runs and evaluations: one self-contained HTML page, and Markdown."""
