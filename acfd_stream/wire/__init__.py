"""Between Python types and protobuf messages, and what both ends of a connection have in common."""
