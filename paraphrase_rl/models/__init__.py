"""Models by reference: loading them, and what one pass says of a text."""
