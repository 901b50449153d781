"""Jobs: videos that the server tracks in the background. They survive restarts, and clients fetch their results.

| module | content |
|---|---|
| ``servicer`` | the RPC methods of JobService: submit, get, list, cancel, stream results |
| ``build`` | store, results, workers and servicer, connected for the server |
| ``runner`` | worker threads: take a waiting job, record it, store how it ended; deletes old jobs |
| ``attempts`` | one attempt at a job: what its recording is given, how the job ended with it |
| ``waiting`` | trouble of the machine or the store, which a job waits out |
| ``job_recording`` | records one job through the shared engine, with ``recording.record`` |
| ``checkpoint`` | the checkpoint of a job, stored in the job store |
| ``store``, ``record`` | the jobs in SQLite, in a file or in memory; ``Job`` and its parts as dataclasses |
| ``shares``, ``by_caller`` | whose turn it is, and whose results go first: every caller has a share |
| ``database``, ``tables`` | the connection, with locks, retries and what SQLite's errors mean; the tables |
| ``results``, ``digests`` | the result lines of each job, in a file or in memory; SHA-256 of their segments |
| ``readers`` | open streams of results; those that are hardly read end while others wait |
| ``replay`` | stored lines → messages of a result stream |

The path of a job:

    SubmitJob → store (QUEUED) → runner (RUNNING) → recording.record → results, checkpoints → store (DONE or FAILED)
                                        StreamJobResults ← replay ← results

The lines of a job are those of ``acfd-stream track --format jsonl -o -``, byte for byte: they say what is known of
characters at each frame. Readers of a job that has ended get its final characters. A client may read them while the
job runs. A job has a lower priority than every stream and waits until the capacity has room for it.

A stopped or killed server continues its jobs from their last checkpoint when it starts again. A job that is started
several times without a new checkpoint fails, so that a video that crashes the server cannot do so forever. Without a
state folder, jobs and results are in memory and are lost with the process.

A client sees only jobs of its own token. The same idempotency key returns the same job.

This package may import ``access``, ``requests``, ``progress``, ``model_messages``, ``status`` and ``settings`` of the
service, and the rooms ``places``, ``recording``, ``outputs``, ``pipeline``, ``video``, ``files`` and ``metrics``. It
does not know ``streams``.
"""
