"""The measurements of docs/performance.md.

`python -m benchmarks` makes all of them and writes the table; `python -m benchmarks.<name>` makes those of one topic
and prints them. The topics are in `benchmarks.__main__`.
"""
