"""Quality metrics, one file each (those that are computed together share one)."""
