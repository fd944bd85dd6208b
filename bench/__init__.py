"""The benchmarks: what syncd costs in time, memory, statements and requests, beside a floor and a peer on one machine.

`python -m bench --help`; docs/performance.md says what each figure means. Not part of the wheel.
"""
