"""One stream from pixels to tracks: decoding, detection, shots and tracking in step."""
