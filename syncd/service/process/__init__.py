"""What every long-running process needs: tasks of its own, the service manager, other workers of its machine."""
