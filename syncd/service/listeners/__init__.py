"""The ports of the service: who may connect, how long a connection lives, and what is told of it."""
