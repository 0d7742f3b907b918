def register_detectors():
    return []
