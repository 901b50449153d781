"""Messages and service of package acfd_stream.v1; the modules are written from protos/ when the package is built."""
