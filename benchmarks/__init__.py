"""How fast streambind is beside what a person would write by hand or pick instead: `python -m benchmarks --help`.

A *contest* (`contests/`) says what is measured and between whom. A *contender* (`contenders/`) is a function that
does the work once, in a process of its own, and returns its figures. Contenders take turns on the same servers and
the same data, and count by their ratio to the contest's limit in the same turn.
"""
