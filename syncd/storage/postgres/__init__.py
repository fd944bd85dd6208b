"""Connections to PostgreSQL, migrations, the private server, and what the driver's errors mean."""
