"""acfd_stream: animation video becomes cartoon-face tracks."""
