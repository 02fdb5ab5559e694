"""First contact with a device: is it right, how fast is it, and how long would a run take.

`contact` makes the steps one after the other; `correctness` compares with a CPU; `floors`, `speed`
and `ways` measure; `proposal` estimates; `record` keeps what is done and `report` words it. No data
set is read: images are random.
"""
