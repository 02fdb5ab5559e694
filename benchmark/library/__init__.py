"""The public functions of `pellucid`: one model, without a grid or a run's folder.

`inputs` and `classifier` turn what a caller passes into what the rest of the project takes, or
refuse it in one line. `result` prints what the other modules return.
"""
