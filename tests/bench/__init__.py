"""The figures of this service: speed, memory and behaviour under load, in one command and one table.

`python -m tests.bench` (`make bench`). Nothing here is a test: a figure that misses its target is shown
as missed, and the command ends with 0 as long as everything could be measured.
"""
