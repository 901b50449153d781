"""One video becomes result files: the only such loop, for the command line, archives and jobs of the service.

``record`` reads a video, tracks it and writes every result: JSON lines with checkpoints, or sinks such as a Parquet
file, an overlay or a report. ``record_episode`` adds what an archive needs: a lock, final names and derived outputs.
Callers keep what is theirs: arguments and messages (cli), queue and manifest (archive), RPCs and quotas (service).
"""
