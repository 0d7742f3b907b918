"""Text as every component gets it: sentences and excerpts."""
