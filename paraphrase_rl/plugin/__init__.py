"""What a plug-in sees: hooks, specs and protocols; how it is found, looked up and contained."""
