"""Callbacks for `model.fit` that measure robustness and gradients between epochs.

What they measure is added to the epoch's `logs` under a name that begins with `val_`, where Keras'
own callbacks find it: `CSVLogger`, `TensorBoard`, `EarlyStopping`, `ModelCheckpoint`,
`ReduceLROnPlateau`, the progress bar and the history. Keras' `TensorBoard` writes with TensorFlow
and the package `tensorboard`, which TensorFlow does not install.

- **Order.** Keras calls callbacks in the order of the list. Where one of Keras' readers of `logs`
  stands before a callback of this module, that callback moves in front of it, so either order
  works. Other callbacks keep their places: the weights are measured as they are at this one's. A
  reader whose `mode` is `"auto"` is told in which direction a measure gets better, if it has one.
- **Epochs.** With `every=k` the first epoch is measured, every k-th after it, and the last. On the
  others the name is absent from `logs`, as Keras' own `val_loss` is with `validation_freq=k`:
  `CSVLogger` writes NA, `TensorBoard` has no point, `ModelCheckpoint` with `save_best_only` does
  not save, and `EarlyStopping` counts measured epochs towards its patience; Keras warns that the
  name is absent. No value is reported for weights that it was not measured on.
- **Nothing else changes.** The model is called in inference mode, with random numbers of this
  package's own, so weights, optimizer and the random numbers of the training are those of a
  training without the callback. The same seed gives the same numbers.

There are no `keras.metrics.Metric` classes here: a metric sees labels and predictions alone, and
every measure of this package needs the model and the images. Accuracy on adversarial examples is
Keras' own accuracy where `AdversarialModel` trains.
"""

from pellucid.benchmark.library.callbacks import Interpretability, RobustAccuracy

__all__ = ["Interpretability", "RobustAccuracy"]
