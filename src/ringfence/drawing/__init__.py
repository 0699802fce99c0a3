"""Floor 1: data to SVG and self-contained HTML; pure."""
