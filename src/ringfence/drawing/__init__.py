"""Floor 1: data to SVG and to one self-contained HTML page. Pure: the same data gives the same text."""
