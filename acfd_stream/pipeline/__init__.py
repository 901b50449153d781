"""One stream from its source to tracks: decoding, detection, shot detection and tracking."""
