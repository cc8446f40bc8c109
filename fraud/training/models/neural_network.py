"""TensorFlow: a multilayer perceptron whose graph includes logarithms, scaling and encoding.

Each feature enters as its scaled logarithm, 0 where it is not known, with a mask that says so; and,
so that the first layer can bend, as a piecewise linear encoding between its quantiles (Y.
Gorishniy, I. Rubachev, A. Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
2022). Each batch draws a fixed share of frauds, so that the time to fit does not grow with the
data; the calibration corrects the shift. Dense layers with ReLU, Adam (D. Kingma, J. Ba, 2015) with
cosine decay (I. Loshchilov, F. Hutter, "SGDR", 2017). The network has the moving average of its
weights, which depends less on the last few frauds (B. Polyak, A. Juditsky, "Acceleration of
Stochastic Approximation by Averaging", 1992).
"""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import numpy as np

from fraud.training import quiet
from fraud.training.models.samples import LabelledSample
from fraud.training.settings import NeuralNetwork

SUFFIX = ".keras"
SCALING_ROWS = 200_000      # enough for means and deviations
SMALLEST = 1e-6             # deviation and width of a bin, in logarithms: less is rounding
MOMENTUM = 0.98             # of the average: that of about the last 50 steps
NARROWEST = 0.02            # width that a bin counts as, at least: slopes amplify rounding errors


def fit(train: LabelledSample, early: LabelledSample, settings: NeuralNetwork, seed: int):
    """Fit a network to a sample; another one ends the epochs.

    Batches have a fixed share of frauds and draw legitimate payments alike: weights that differ by
    class alone do not matter, and others are not used.

    Returns:
        the Keras model with the weights of its best epoch, and its curves: log loss of each epoch.
    """
    keras = _keras()
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    count = len(train.label)
    model = _model(train.features[rng.choice(count, min(count, SCALING_ROWS), replace=False)],
                   settings)
    steps = settings.steps_per_epoch * settings.epochs
    model.compile(
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps),
            use_ema=True, ema_momentum=MOMENTUM),
        loss=keras.losses.BinaryCrossentropy(from_logits=True))
    history = model.fit(
        _batches(train, settings, rng), epochs=settings.epochs,
        steps_per_epoch=settings.steps_per_epoch, verbose=0, shuffle=False,
        validation_data=_balanced(early, settings.fraud_share),
        validation_batch_size=16_384,
        callbacks=[keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
                   keras.callbacks.EarlyStopping(
                       patience=settings.patience, restore_best_weights=True)])
    return model, {"train_logloss": history.history["loss"],
                   "early_stopping_logloss": history.history["val_loss"]}


def save(model, path: Path) -> None:
    """Write the native model, which only training and MLflow read."""
    model.save(path)


def load(path: Path):
    """Load the native model that `save` wrote."""
    return _keras().models.load_model(path)


def logits(model, rows: np.ndarray) -> np.ndarray:
    """Return raw outputs of the native model for float32 rows: float32, shape (n,)."""
    return model.predict(rows, batch_size=16_384, verbose=0)[:, 0]


def export(model, width: int, path: Path) -> None:
    """Write the network as ONNX: input float32 (n, width), output logits (n, 1)."""
    model(np.zeros((1, width), np.float32))       # Keras exports only models that were called
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)      # tf2onnx asks numpy for `np.object`
        model.export(str(path), format="onnx", verbose=False)


def _keras():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet.suppress_startup_output():
        import keras
        import tensorflow as tf

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    tf.config.experimental.enable_op_determinism()
    return keras


def _model(sample: np.ndarray, settings: NeuralNetwork):
    """Build the network; its scaling and encoding are those of a sample of rows."""
    import keras

    logs = np.sign(sample) * np.log1p(np.abs(sample.astype(np.float64)))
    logs[:, np.isnan(logs).all(axis=0)] = 0.0           # nobody knows it
    mean, deviation = np.nanmean(logs, axis=0), np.nanstd(logs, axis=0)
    # A constant feature has a deviation of rounding errors at most: do not scale it up.
    scale = 1.0 / np.where(deviation > SMALLEST, deviation, 1.0)
    low, slope = _bins(logs, settings.bins)
    inputs = keras.Input((sample.shape[1],), name="features")
    is_unknown = keras.ops.isnan(inputs)
    mask = keras.ops.cast(is_unknown, "float32")
    known = keras.ops.where(is_unknown, 0.0, inputs)
    log_inputs = keras.ops.sign(known) * keras.ops.log(keras.ops.abs(known) + 1.0)
    scaled = keras.layers.Rescaling(scale.tolist(), (-mean * scale).tolist())(log_inputs)
    within = (keras.ops.expand_dims(log_inputs, -1) - low) * slope
    encoded = keras.layers.Reshape((low.size,))(keras.ops.clip(within, 0.0, 1.0))
    hidden = keras.layers.Concatenate()([scaled, encoded, mask])
    for units in settings.units:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
    return keras.Model(inputs, keras.layers.Dense(1, name="logit")(hidden))


def _bins(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower edges of each feature's bins between quantiles, and their slopes.

    A slope is 1 / the bin's width, and 0 where quantiles coincide.

    Args:
        values: shape (rows, features).

    Returns:
        float32 arrays of shape (features, count).
    """
    edges = np.nanquantile(values, np.linspace(0, 1, count + 1), axis=0).T
    width = np.diff(edges, axis=1)
    slope = np.where(width > SMALLEST, 1.0 / np.maximum(width, NARROWEST), 0.0)
    return edges[:, :-1].astype(np.float32), slope.astype(np.float32)


def _batches(train: LabelledSample, settings: NeuralNetwork, rng):
    """Give endless batches with a share of frauds in each: drawn indices, not copied rows."""
    import tensorflow as tf

    label = train.label
    frauds, legitimate = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    per_batch = max(1, round(settings.batch_size * settings.fraud_share))

    def indices():
        while True:
            yield np.concatenate([rng.choice(frauds, per_batch),
                                  rng.choice(legitimate, settings.batch_size - per_batch)])

    values, labels = tf.constant(train.features), tf.constant(label[:, None], tf.float32)
    return (tf.data.Dataset
            .from_generator(indices, output_signature=tf.TensorSpec([None], tf.int64))
            .map(lambda index: (tf.gather(values, index), tf.gather(labels, index)),
                 num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE))


def _balanced(early: LabelledSample, fraud_share: float):
    """Return rows, labels and weights (of mean 1) that give frauds their share of the batches."""
    frauds = early.label.sum()
    odds = fraud_share / (1 - fraud_share) * (early.label.size - frauds) / frauds
    weight = np.where(early.label == 1, odds, 1.0).astype(np.float32)
    return early.features, early.label[:, None].astype(np.float32), weight / weight.mean()
