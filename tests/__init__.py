"""The tests.

TensorFlow's kernels are chosen before it is imported: those for the network that most tests use.
"""

from pellucid import models

models.choose_kernels("digits_cnn")
