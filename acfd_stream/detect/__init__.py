"""Pictures become faces: model files, the runtimes that run them, and the detector around both."""
