"""What the detector and the embedder share: model files, their precision, the OpenVINO runtime, compiled networks."""
